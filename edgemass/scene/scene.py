"""From boxes to events: what one camera's detections mean over time. No clock but the frames' own, no pixels.

Each frame goes tracks -> objects (believed by scores and N of M frames) -> zones and lines -> happenings and counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgemass.config.camera import CameraConfig
from edgemass.config.scene import Anchor
from edgemass.detections import Detections
from edgemass.scene.crossings import LineWatch, Total, Totals
from edgemass.scene.filters import accepts
from edgemass.scene.geometry import Floats, Polygon, anchor_points
from edgemass.scene.happening import Counts, Happening, Numbers
from edgemass.scene.objects import SceneObject
from edgemass.scene.telling import Telling
from edgemass.scene.tracker import Tracker, Tracks
from edgemass.scene.visits import Visit

FRAME = ""  # the name of the whole frame where zones have theirs
_NS = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """What one frame brought.

    track_ids: for each of its detections, 0 where it has none. happenings: in the order in which they happened.
    counts: where they changed, else None. objects: all that are believed, for drawing, pictures and rules.
    """

    track_ids: Sequence[int]
    happenings: Sequence[Happening]
    counts: Counts | None
    objects: Sequence[SceneObject]


class Scene:
    """One camera's scene. Used by one thread at a time.

    labels: of the model. score: of the model, from which it believes itself.
    totals: of the lines so far; they are counted on here.
    known: by zone, "" for the whole frame: labels that were counted before, and so are told as 0 where there are none;
        those that this model does not know are left out.
    first_number: of events that were told before; they are numbered on.
    """

    def __init__(
        self,
        camera: CameraConfig,
        labels: Sequence[str],
        *,
        score: float,
        totals: Totals | None = None,
        known: Mapping[str, Sequence[str]] | None = None,
        first_number: int = 0,
    ) -> None:
        self._config = camera.events_config
        self._tracking = camera.tracking
        self._labels = labels
        self._enter = [_enter_score(camera, label, score) for label in labels]
        lowest = min([camera.tracking.high_score, *self._enter])
        self._tracker = Tracker(
            msgspec.structs.replace(
                camera.tracking, high_score=lowest, low_score=min(camera.tracking.low_score, lowest)
            )
        )
        self._objects: dict[int, SceneObject] = {}
        self._zones = {name: Polygon(zone.points) for name, zone in camera.zones.items()}
        self._zone_configs = camera.zones
        self._lines = [LineWatch(name, line) for name, line in camera.lines.items()]
        earlier = totals or {}
        self.totals: Totals = {
            name: _copy(earlier[name]) if name in earlier else {"in": {}, "out": {}} for name in camera.lines
        }
        self.known = {place: sorted({*(known or {}).get(place, ())} & {*labels}) for place in (FRAME, *camera.zones)}
        self._telling = Telling(self._config, camera.zones, self.totals, first_number)
        self._available = True
        self._frames = 0
        self._first_ns: int | None = None
        self._away_ns: int | None = None  # the last frame before the camera went away
        self._last_ns = 0
        self._unsettled: set[int] = set()
        self._told: Counts | None = None

    @property
    def numbers(self) -> int:
        """Events so far, those before it included."""
        return self._telling.numbers

    @property
    def objects(self) -> list[SceneObject]:
        """All that are believed, oldest first."""
        return [thing for thing in self._objects.values() if thing.believed]

    def observe(self, found: Detections, mono_ns: int, *, aspect: float) -> Observation:
        """Take in one frame.

        found: boxes as fractions of the frame, from `usable_score` on. mono_ns: one that goes back counts as standing
            still. aspect: width of the frame by its height, in
            pixels.
        """
        mono_ns = max(mono_ns, self._last_ns)
        if not self._available and mono_ns - self._last_ns > self._tracking.lost_s * _NS:
            self._unsettled = {
                thing.track_id for thing in self.objects
            }  # a frame from before may have come after `away`
        self._note_time(mono_ns)
        tracks = self._tracker.update(found, mono_ns)
        happenings: list[Happening] = []
        self._follow(tracks, mono_ns)
        self._look_at_zones(aspect, mono_ns)
        self._look_at_lines(aspect, mono_ns)
        happenings += self._end_the_gone(set(tracks.track_id.tolist()), mono_ns)
        for thing in self.objects:
            happenings += self._telling.tell(thing, aspect, mono_ns)
        self._unsettled = {
            track_id for track_id in self._unsettled if track_id in self._objects and self._objects[track_id].row < 0
        }
        ids = np.zeros(len(found), np.int64)
        seen = tracks.row >= 0
        ids[tracks.row[seen]] = tracks.track_id[seen]
        return Observation(ids.tolist(), happenings, self._news(), self.objects)

    def _note_time(self, mono_ns: int) -> None:
        """A frame of this time; what was there while the camera was away is not known to have been there."""
        self._frames += 1
        if self._first_ns is None:
            self._first_ns = mono_ns
        if self._available and self._away_ns is not None:
            for thing in self._objects.values():
                thing.miss(mono_ns - self._away_ns)
            self._away_ns = None
        self._last_ns = mono_ns

    @property
    def _settled(self) -> bool:
        """Whether what was there from the first frame on could be believed by now; before, 0 would be a guess."""
        return (
            self._first_ns is not None
            and self._frames >= self._config.frames
            and self._last_ns - self._first_ns >= self._tracking.confirm_s * _NS
        )

    def away(self) -> Counts | None:
        """The camera gives no pictures, or none that can be trusted: what is there is kept, and nothing is known of it.

        Returns the counts, where they were not told as unavailable before.
        """
        self._available = False
        if self._away_ns is None:
            self._away_ns = self._last_ns
        self._tracker.suspend()
        self._unsettled = {thing.track_id for thing in self.objects}
        for thing in self._objects.values():
            thing.row, thing.doubt_ns = -1, None
        return self._news()

    def doubt(self) -> Counts | None:
        """As `away`, but pictures go on to come and to be observed: only the counts are not to be trusted."""
        self._available = False
        return self._news()

    def back(self) -> None:
        """Pictures can be trusted again; counts are told as soon as it is known what stayed."""
        self._available = True

    def close(self, mono_ns: int, reason: str) -> tuple[list[Happening], Counts | None]:
        """End everything."""
        told = [said for thing in self.objects for said in self._telling.end(thing, mono_ns, reason)]
        self._objects.clear()
        return told, self.away()

    # Objects

    def _follow(self, tracks: Tracks, mono_ns: int) -> None:
        """Bring every object up to what its track says."""
        places = anchor_points(tracks.xyxy, self._config.anchor).round(4).tolist()
        columns = (tracks.track_id, tracks.class_id, tracks.score, tracks.xyxy, tracks.row, tracks.still_ns)
        rows = zip(*(column.tolist() for column in columns), tracks.confirmed.tolist(), places, strict=True)
        first = dict(zip(tracks.track_id.tolist(), tracks.first_ns.tolist(), strict=True))
        for track_id, class_id, score, box, row, still_ns, confirmed, place in rows:
            thing = self._objects.get(track_id)
            if thing is None:
                thing = self._objects[track_id] = self._object(track_id, class_id, box, first[track_id])
            thing.row, thing.class_id, thing.label = row, class_id, self._labels[class_id]
            enter = self._enter[class_id]
            thing.window.append(row >= 0 and score > enter)
            if row < 0:
                continue
            thing.box, thing.score, thing.seen_ns = tuple(box), score, mono_ns
            thing.top_score = max(thing.top_score, score)
            thing.walk(tuple(place), self._config.path_points)
            thing.stationary = 0 <= still_ns <= mono_ns - self._config.stationary_s * _NS
            thing.believed = thing.believed or (confirmed and sum(thing.window) >= self._config.frames)
            if self._config.leave is None or score > self._config.leave:
                thing.doubt_ns = None
            elif thing.doubt_ns is None:
                thing.doubt_ns = mono_ns

    def _object(self, track_id: int, class_id: int, box: Sequence[float], first_ns: int) -> SceneObject:
        x1, y1, x2, y2 = box
        window: deque[bool] = deque(maxlen=self._config.of_frames)
        label = self._labels[class_id]
        return SceneObject(track_id, first_ns, label, class_id, (x1, y1, x2, y2), window, seen_ns=first_ns)

    def _end_the_gone(self, living: set[int], mono_ns: int) -> list[Happening]:
        """End what the tracker let go, and what was there only as a shadow for too long."""
        told: list[Happening] = []
        for track_id, thing in list(self._objects.items()):
            waiting = track_id in self._unsettled
            if track_id not in living:
                told += self._telling.end(thing, mono_ns, "camera" if waiting else "left")
                del self._objects[track_id]
            elif thing.believed and not waiting and self._is_a_shadow(thing, mono_ns):
                told += self._telling.end(thing, mono_ns, "left")
                anew = self._object(track_id, thing.class_id, thing.box, mono_ns)
                anew.approaches = thing.approaches
                self._objects[track_id] = anew  # told of again under another number, once it is believed again
        return told

    def _is_a_shadow(self, thing: SceneObject, mono_ns: int) -> bool:
        """Whether it is seen, but has been too doubtful for too long; of what is not seen the tracker decides."""
        patience_s = self._tracking.keep_still_s if thing.stationary else self._tracking.lost_s
        return thing.row >= 0 and thing.doubt_ns is not None and mono_ns - thing.doubt_ns > patience_s * _NS

    # Zones and lines

    def _look_at_zones(self, aspect: float, mono_ns: int) -> None:
        seen = self._seen() if self._zones else []
        if not seen:
            return
        boxes = _boxes(seen)
        points: dict[Anchor, Floats] = {}
        for name, polygon in self._zones.items():
            zone = self._zone_configs[name]
            if zone.anchor not in points:
                points[zone.anchor] = anchor_points(boxes, zone.anchor)
            for thing, within in zip(seen, polygon.holds(points[zone.anchor]).tolist(), strict=True):
                visit = thing.visits.get(name)
                if visit is None and within:
                    visit = thing.visits[name] = Visit()
                if visit is not None:
                    fits = within and accepts(zone, thing.label, thing.top_score, thing.box, aspect)
                    visit.see(inside=fits, inertia=zone.inertia, mono_ns=mono_ns)

    def _look_at_lines(self, aspect: float, mono_ns: int) -> None:
        seen = self._seen() if self._lines else []
        if not seen:
            return
        boxes = _boxes(seen)
        sizes = boxes[:, 2:] - boxes[:, :2]
        for line in self._lines:
            line.watch(seen, anchor_points(boxes, line.config.anchor), sizes, aspect, mono_ns)

    def _seen(self) -> list[SceneObject]:
        return [thing for thing in self._objects.values() if thing.row >= 0]

    # Counts

    def _news(self) -> Counts | None:
        """The counts, where they are not what was told last; nothing before anything is known."""
        if self._told is None and not self._settled:
            return None
        counts = self._counts()
        if counts == self._told:
            return None
        self._told = counts
        return counts

    def _counts(self) -> Counts:
        believed = self.objects
        present = self._count(FRAME, [thing for thing in believed if thing.counted])
        zones = {name: self._count(name, [thing for thing in believed if _stays(thing, name)]) for name in self._zones}
        return counts(present, zones, self.totals, available=self._available and self._settled and not self._unsettled)

    def _count(self, place: str, things: Sequence[SceneObject]) -> Numbers:
        labels = [thing.label for thing in things]
        known = self.known[place]
        if not set(labels) <= set(known):
            known = self.known[place] = sorted({*known, *labels})
        return {label: labels.count(label) for label in known}


def counts(labels: Numbers, zones: Mapping[str, Numbers], totals: Totals, *, available: bool) -> Counts:
    """A value of its own; without the numbers where they are not available."""

    def shown(numbers: Numbers) -> Numbers:
        return dict(numbers) if available else dict.fromkeys(numbers)

    lines = {name: _copy(total) for name, total in totals.items()}
    return Counts(available, shown(labels), {name: shown(numbers) for name, numbers in zones.items()}, lines)


def _copy(total: Total) -> Total:
    return {"in": dict(total["in"]), "out": dict(total["out"])}


def usable_score(camera: CameraConfig, labels: Sequence[str], score: float) -> float:
    """Detections are of use to a scene from this score on. score: of the model, from which it believes itself."""
    return min([camera.tracking.low_score, *(_enter_score(camera, label, score) for label in labels)])


def _enter_score(camera: CameraConfig, label: str, default: float) -> float:
    enter = camera.events_config.enter
    return camera.score_of(label, default) if enter is None else enter


def _stays(thing: SceneObject, zone: str) -> bool:
    visit = thing.visits.get(zone)
    return visit is not None and visit.number > 0


def _boxes(things: Sequence[SceneObject]) -> Floats:
    return np.array([thing.box for thing in things], np.float64)
