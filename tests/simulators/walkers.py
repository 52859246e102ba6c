"""Things that walk and stand before a camera, and a detector that misses, wobbles and doubts; the same for a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgemass.config import CameraConfig, camera_config
from edgemass.detections import Detections
from edgemass.scene.crossings import Totals
from edgemass.scene.happening import Box, Counts, Happening
from edgemass.scene.scene import Observation, Scene

NS = 1_000_000_000
START_NS = 5 * NS
LABELS = ("person", "car", "truck")
PERSON, CAR, TRUCK = range(3)
ASPECT = 16 / 9

Way = Callable[[float], Box | None]
"""Second -> where a thing is, as fractions of the frame; None while it is not there."""


@dataclass(frozen=True)
class Thing:
    """class_id: what it is. way: where. Of two things, the later in a list is nearer to the camera."""

    class_id: int
    way: Way


def walk(points: Sequence[tuple[float, float]], *, since: float, until: float, size: tuple[float, float]) -> Way:
    """At one speed through the points, where its feet are. size: width and height of its box."""
    places = np.array(points, np.float64)
    lengths = np.hypot(*np.diff(places, axis=0).T)
    marks = np.concatenate([[0.0], np.cumsum(lengths)]) / max(lengths.sum(), 1e-9)

    def where(second: float) -> Box | None:
        if not since <= second < until:
            return None
        share = (second - since) / (until - since)
        x, y = (float(np.interp(share, marks, places[:, axis])) for axis in (0, 1))
        return x - size[0] / 2, y - size[1], x + size[0] / 2, y

    return where


def stand(at: tuple[float, float], *, since: float = 0.0, until: float = 1e9, size: tuple[float, float]) -> Way:
    """Stay in a place."""
    x, y = at
    box = (x - size[0] / 2, y - size[1], x + size[0] / 2, y)
    return lambda second: box if since <= second < until else None


def person(*points: tuple[float, float], since: float = 0.0, until: float) -> Thing:
    return Thing(PERSON, walk(points, since=since, until=until, size=(0.06, 0.3)))


def parked(at: tuple[float, float] = (0.5, 0.6), *, since: float = 0.0, until: float = 1e9) -> Thing:
    return Thing(CAR, stand(at, since=since, until=until, size=(0.25, 0.2)))


@dataclass(frozen=True)
class Detector:
    """misses: share of things that are not found. jitter: of a box's sides, standard deviation.
    score, doubt: mean and standard deviation of scores. hidden: share of a box behind nearer ones that hides it.
    """

    misses: float = 0.0
    jitter: float = 0.0
    score: float = 0.8
    doubt: float = 0.0
    hidden: float = 0.6

    def look(self, things: Sequence[Thing], second: float, rng: np.random.Generator) -> Detections:
        there = [(thing, box) for thing in things if (box := thing.way(second)) is not None]
        rows = []
        for index, (thing, box) in enumerate(there):
            missed, wobble, score = rng.random(), rng.normal(size=4), rng.normal(self.score, self.doubt)
            if missed < self.misses or any(_covered(box, nearer) > self.hidden for _, nearer in there[index + 1 :]):
                continue
            sides = np.array([box[2] - box[0], box[3] - box[1]] * 2)
            x1, y1, x2, y2 = np.clip(np.array(box) + wobble * sides * self.jitter, 0, 1).tolist()
            if x2 > x1 and y2 > y1:
                rows.append((x1, y1, x2, y2, min(max(score, 0.01), 1.0), thing.class_id))
        table = np.array(rows, np.float64).reshape(-1, 6)
        return Detections(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64))


PERFECT = Detector()
FLICKERING = Detector(misses=0.3, jitter=0.02, score=0.7, doubt=0.08)


def frames(
    things: Sequence[Thing],
    seconds: float,
    *,
    since: float = 0.0,
    fps: float = 10.0,
    detector: Detector = PERFECT,
    seed: int = 0,
    drops: float = 0.0,
) -> Iterator[tuple[int, Detections]]:
    """The frames' times and what is found in them. drops: share of frames that never come."""
    rng = np.random.default_rng(seed)
    for index in range(round(seconds * fps)):
        second = since + index / fps
        dropped, found = rng.random() < drops, detector.look(things, second, rng)
        if not dropped:
            yield START_NS + round(second * NS), found


class Watched:
    """A scene, and all that it told. Holds every step to what must always be true."""

    def __init__(
        self,
        camera: CameraConfig | None = None,
        *,
        labels: Sequence[str] = LABELS,
        score: float = 0.5,
        totals: Totals | None = None,
        known: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.scene = Scene(camera or config(), labels, score=score, totals=totals, known=known)
        self.told: list[Happening] = []
        self.counts: list[Counts] = []
        self.seen: list[Observation] = []
        self.last_ns = 0

    def run(self, given: Iterator[tuple[int, Detections]]) -> Watched:
        for mono_ns, found in given:
            self.take(mono_ns, found)
        return self

    def take(self, mono_ns: int, found: Detections) -> Observation:
        observation = self.scene.observe(found, mono_ns, aspect=ASPECT)
        self.last_ns = mono_ns
        self.told += observation.happenings
        self._note(observation.counts)
        self.seen = [*self.seen[-1:], observation]
        return observation

    def away(self) -> None:
        self._note(self.scene.away())

    def close(self, reason: str = "stopped") -> None:
        told, counts = self.scene.close(self.last_ns, reason)
        self.told += told
        self._note(counts)

    def events(self, kind: str = "object", type_: str | None = None) -> list[Happening]:
        return [said for said in self.told if said.kind == kind and type_ in (None, said.type)]

    def _note(self, counts: Counts | None) -> None:
        if counts is not None:
            assert not self.counts or counts != self.counts[-1], "told the same counts again"
            self.counts.append(counts)


def check_story(told: Sequence[Happening]) -> None:
    """What holds of every run that was closed: one new and one end for each event, nothing before or after."""
    state: dict[int, str] = {}
    last_ns = 0
    for said in told:
        assert said.mono_ns >= last_ns, "time went back"
        last_ns = said.mono_ns
        assert said.started_ns <= said.mono_ns
        before = state.get(said.number)
        allowed = {"new": (None,), "update": ("new", "update"), "end": ("new", "update")}[said.type]
        if said.kind == "line":
            allowed = (None,)
        assert before in allowed, f"{said.type} of {said.kind} {said.number} after {before}"
        state[said.number] = said.type
    open_ = [number for number, type_ in state.items() if type_ != "end"]
    assert not open_, f"events {open_} have no end"
    assert sorted(state) == list(range(1, len(state) + 1)), "numbers have gaps"


def config(**given: object) -> CameraConfig:
    """A camera that tells events, with these keys as its table would have them."""
    return camera_config({"source": "synthetic:", "events": True, **given}, "here")


def _covered(box: Box, other: Box) -> float:
    """Share of the box that lies behind the other."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    area = (box[2] - box[0]) * (box[3] - box[1])
    return max(width, 0.0) * max(height, 0.0) / area


def boxes(*found: tuple[float, ...], score: float = 0.8, class_id: int = PERSON) -> Detections:
    """These boxes, all of one score and class."""
    return Detections(
        np.array(found, np.float32).reshape(-1, 4),
        np.full(len(found), score, np.float32),
        np.full(len(found), class_id, np.int64),
    )


def moved(found: Detections, class_id: int) -> Detections:
    """The same boxes, called something else."""
    return replace(found, class_id=np.full(len(found), class_id, np.int64))
