"""Detections of one picture after another, joined to tracks: the same thing keeps its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemass.config.tracking import TrackConfig
from edgemass.detections import Detections
from edgemass.scene._assignment import assign
from edgemass.scene._candidates import near, overlaps, to_boxes, to_xyxy
from edgemass.scene._kalman import MIN_SIDE, BoxFilter
from edgemass.tensors import IntArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
_Rows = NDArray[Any]  # of _TRACK
_NS = 1_000_000_000

AWAY = -1  # in place of the time when the camera was back
MAX_TRACKS = 1000  # more than a detector finds in one picture
FAR = 100.0  # in frames: what lies beyond is no box
MISSES = 3  # pictures in a row, at least, before a track ends: of few pictures a second, one that failed says little

ROOM = 1.0  # what a box grows by for its track, in standard deviations of what the filter expects ...
MAX_ROOM = 0.4  # ... and at most, in sides: beyond, the next one in a queue is as near
DOUBLE = 0.7  # of a box shared with one that has its track: the same thing, found twice
COVERING = 2.0  # a box that shares half of itself with a better one is no evidence at all
CERTAIN = 0.9  # evidence that a track needs to be believed: as much as one score, the next ones as they come later

STAYS, LEAVES = 0.2, 0.4  # what a box may be off its place, in sides: before it stands still, and once it does
TIDY_NS = 80_000_000  # a dozen times a second is often enough to see who stays in his place and who is gone
LEFT_NS = _NS  # so long must it be out of its place: what passes before it cuts its box

_TRACK = np.dtype(
    [
        ("track_id", np.int64),
        ("class_id", np.int64),
        ("votes", np.float64),  # scores for class_id, less those for others
        ("score", np.float64),
        ("row", np.int64),
        ("hits", np.int64),
        ("misses", np.int64),  # pictures since it was seen
        ("evidence", np.float64),
        ("confirmed", np.bool_),
        ("away", np.bool_),  # the camera was away, and it has not been seen since
        ("back_ns", np.int64),  # when it was, of those that are away
        ("first_ns", np.int64),
        ("seen_ns", np.int64),
        ("place", np.float64, (2, 2)),  # box where it was first seen in its place
        ("since_ns", np.int64),  # that it is in its place
        ("inside_ns", np.int64),  # when it was last seen there
        ("still", np.bool_),
    ]
)
MAX_VOTES = 20.0  # one may be taken for something else for long, and still not for ever


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """The m living tracks, oldest first, as columns.

    track_id: int64 (m,), from 1 on; never used twice.
    xyxy: float64 (m, 4), fractions of the frame: where it is; where it is expected, if it is not seen.
    class_id: int64 (m,). score: float64 (m,), of the detection that it met in this frame; 0 where there is none.
    row: int64 (m,), of that detection; -1 where there is none.
    first_ns, seen_ns: int64 (m,), when it was seen first and last.
    still_ns: int64 (m,), since when it has stayed in its place; -1 while it moves.
    confirmed: bool (m,), seen often enough to be believed. hits: int64 (m,), frames in which it was seen.
    """

    track_id: IntArray
    xyxy: Floats
    class_id: IntArray
    score: Floats
    row: IntArray
    first_ns: IntArray
    seen_ns: IntArray
    still_ns: IntArray
    confirmed: Flags
    hits: IntArray

    def __len__(self) -> int:
        return len(self.track_id)


class Tracker:
    """Follows what one camera shows. Used by one thread; one frame after another.

    As ByteTrack (Zhang and others, 2022): high scores find their tracks first, low ones only go on with what is there.
    In place of frames it counts time, so that frames may be dropped.
    """

    def __init__(self, options: TrackConfig) -> None:
        self._options = options
        self._tracks: _Rows = np.empty(0, _TRACK)
        self._filter = BoxFilter()  # row by row as _tracks
        self._next_id = 1
        self._now_ns: int | None = None
        self._tidied_ns: int | None = None
        self._gap = False  # between the last picture and the next

    def update(self, found: Detections, mono_ns: int) -> Tracks:
        """What the detections of one frame say of the tracks.

        found: fractions of the frame, down to the low score of the options; boxes without area or with NaN are passed
            over. mono_ns: the frame's own time; one that goes back counts as standing still.
        """
        step_ns = 0 if self._now_ns is None else max(mono_ns - self._now_ns, 0)
        now_ns = mono_ns if self._now_ns is None else self._now_ns + step_ns
        self._now_ns = now_ns
        if step_ns > self._options.lost_s * _NS:
            self._suspend(~self._tracks["away"] | (self._tracks["misses"] == 0))
        if self._gap:
            self._tracks["back_ns"][self._tracks["back_ns"] == AWAY] = now_ns
            self._gap = False
        if self._tidied_ns is None or now_ns - self._tidied_ns >= TIDY_NS:
            self._tidied_ns = now_ns
        rests = self._expect(step_ns)
        rows = _usable(found, self._options.low_score)
        boxes, score, class_id = to_boxes(found.xyxy[rows]), found.score[rows].astype(np.float64), found.class_id[rows]
        which, met = self._associate(boxes, score, class_id, rests)
        self._hit(which, boxes[met], score[met], class_id[met], rows[met], now_ns)
        born, evidence = self._fresh(boxes, score, class_id, met)
        self._begin(boxes[born], score[born], class_id[born], rows[born], evidence, now_ns)
        if self._tidied_ns == now_ns:
            self._end()
        return self._told()

    def forget(self) -> None:
        """End all tracks; numbers go on."""
        self._keep(np.zeros(len(self._tracks), np.bool_))

    def suspend(self) -> None:
        """The camera is away: keep what is known, without its velocity.

        Whatever stands where it stood when the camera is back keeps its number, however long that took.
        """
        self._suspend(np.ones(len(self._tracks), np.bool_))

    def _suspend(self, which: Flags) -> None:
        """For a gap between two pictures, not for those that an earlier gap left unseen: they would never end."""
        self._tracks["away"][which] = True
        self._filter.stop(which)
        self._tracks["misses"][which] = 0
        self._tracks["back_ns"][which] = AWAY
        self._gap = True

    def _expect(self, step_ns: int) -> Flags:
        """Go on to this frame.

        Returns:
            which tracks stay where they are: those that were last seen before the camera was away, and those that stood
            still and were not seen in the last frame.
        """
        tracks = self._tracks
        rests: Flags = (tracks["still"] & (tracks["misses"] > 0)) | tracks["away"]
        if rests.any():
            self._filter.stop(rests)
        self._filter.predict(step_ns / _NS)
        tracks["misses"] += 1
        tracks["row"], tracks["score"] = -1, 0
        return rests

    def _associate(self, boxes: Floats, score: Floats, class_id: IntArray, rests: Flags) -> tuple[IntArray, IntArray]:
        """Which tracks met which of the boxes, as rows of both.

        First the certain boxes and the tracks that are believed, then what is left of these and the doubtful boxes,
        then what is left of the certain boxes and the tracks in doubt.
        """
        tracks, expected = self._tracks, self._filter.box
        room = np.minimum(ROOM * np.sqrt(self._filter.variance[0, :, 0, 0]), MAX_ROOM)
        room[rests] = 0
        which, met = near(expected, boxes, room)
        worth = overlaps(expected[which], boxes[met], room[which]) - self._options.overlap
        fits = worth > 0
        if not self._options.across_classes:
            fits &= tracks["class_id"][which] == class_id[met]
        which, met, worth = which[fits], met[fits], worth[fits]
        certain, believed = score[met] >= self._options.high_score, tracks["confirmed"][which]
        lone, loose = np.ones(len(tracks), np.bool_), np.ones(len(boxes), np.bool_)  # tracks and boxes still unmet
        pairs: list[tuple[IntArray, IntArray]] = []
        for stage in range(3):
            if stage == 0:
                wanted = certain & believed
            elif stage == 1:
                wanted = believed & ~certain & lone[which]
            else:
                wanted = certain & ~believed & loose[met]
            rows = np.flatnonzero(wanted)
            if len(rows):
                one, other = assign(which[rows], met[rows], worth[rows])
                lone[one] = loose[other] = False
                pairs.append((one, other))
        if not pairs:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        if len(pairs) == 1:
            return pairs[0]
        return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])

    def _hit(
        self, which: IntArray, boxes: Floats, score: Floats, class_id: IntArray, rows: IntArray, now_ns: int
    ) -> None:
        """Tell tracks what they met; all columns as long as `which`."""
        if not len(which):
            return
        tracks = self._tracks
        self._believe(which, score, now_ns)
        if self._options.across_classes:
            self._vote(which, score, class_id)
        tracks["score"][which], tracks["row"][which] = score, rows
        tracks["hits"][which] += 1
        tracks["misses"][which] = 0
        tracks["away"][which] = False
        tracks["seen_ns"][which] = now_ns
        self._filter.correct(which, boxes)
        if self._tidied_ns == now_ns:
            self._settle(which, now_ns)

    def _believe(self, which: IntArray, score: Floats, now_ns: int) -> None:
        """Add to the evidence of those that are in doubt: the less, the shorter ago they were seen."""
        tracks = self._tracks
        doubted = ~tracks["confirmed"][which]
        if not doubted.any():
            return
        which = which[doubted]
        again = np.minimum((now_ns - tracks["seen_ns"][which]) / (self._options.confirm_s * _NS + 1), 1)
        evidence = tracks["evidence"][which] + score[doubted] * again
        tracks["evidence"][which] = evidence
        tracks["confirmed"][which] = evidence >= CERTAIN

    def _vote(self, which: IntArray, score: Floats, class_id: IntArray) -> None:
        """What has the most votes is what a thing is called."""
        tracks = self._tracks
        called = tracks["class_id"][which]
        votes = tracks["votes"][which] + np.where(called == class_id, score, -score)
        tracks["class_id"][which] = np.where(votes < 0, class_id, called)
        tracks["votes"][which] = np.minimum(np.abs(votes), MAX_VOTES)

    def _settle(self, which: IntArray, now_ns: int) -> None:
        """Who is in its place, who left it, and who has stayed there for long enough to stand still."""
        hit, boxes = self._tracks[which], self._filter.box[which]
        place = hit["place"]
        off = (np.abs(boxes - place) / place[:, 1:]).reshape(-1, 4).max(axis=1)
        inside = off <= np.where(hit["still"], LEAVES, STAYS)
        hit["inside_ns"][inside] = now_ns
        if not inside.all():
            left = ~inside & (~hit["still"] | (now_ns - hit["inside_ns"] >= LEFT_NS))
            hit["place"][left] = boxes[left]
            hit["since_ns"][left] = hit["inside_ns"][left] = now_ns
            hit["still"][left] = False
        hit["still"] |= now_ns - hit["since_ns"] >= self._options.still_s * _NS
        self._tracks[which] = hit

    def _fresh(self, boxes: Floats, score: Floats, class_id: IntArray, met: IntArray) -> tuple[IntArray, Floats]:
        """Which boxes begin a track: certain, met by none, and no second box of a better one.

        Returns:
            rows of the boxes, and how evident each is: its score, less where it covers a better one, as the boxes do
            that a detector draws around two people.
        """
        taken = np.zeros(len(score), np.bool_)
        taken[met] = True
        rows = np.flatnonzero((score >= self._options.high_score) & ~taken)
        if not len(rows):
            return rows, score[rows]
        one, other = near(boxes, boxes[rows], np.zeros(len(boxes)))
        other = rows[other]
        better = taken[one] | (score[one] > score[other]) | ((score[one] == score[other]) & (one < other))
        if not self._options.across_classes:
            better &= class_id[one] == class_id[other]
        one, other = one[better], other[better]
        shared = np.zeros(len(score))
        np.maximum.at(shared, other, overlaps(boxes[one], boxes[other]))
        rows = rows[shared[rows] <= DOUBLE]
        return rows, score[rows] * np.maximum(1 - COVERING * shared[rows], 0)

    def _begin(
        self, boxes: Floats, score: Floats, class_id: IntArray, rows: IntArray, evidence: Floats, now_ns: int
    ) -> None:
        """A new track for each of the boxes, as long as there is room."""
        count = min(len(rows), MAX_TRACKS - len(self._tracks))
        if count <= 0:
            return
        born = np.zeros(count, _TRACK)
        born["track_id"] = self._next_id + np.arange(count)
        born["class_id"], born["row"] = class_id[:count], rows[:count]
        born["votes"] = born["score"] = score[:count]
        born["evidence"] = evidence[:count]
        born["confirmed"] = born["evidence"] >= CERTAIN
        born["hits"] = 1
        born["first_ns"] = born["seen_ns"] = born["since_ns"] = born["inside_ns"] = now_ns
        born["place"] = boxes[:count]
        self._next_id += count
        self._tracks = np.concatenate([self._tracks, born])
        self._filter.begin(boxes[:count])

    def _end(self) -> None:
        """Let go of what has not been seen for too long."""
        late = np.flatnonzero(self._tracks["misses"] >= MISSES)
        if not len(late):
            return
        tracks, options = self._tracks[late], self._options
        keep_s = np.where(tracks["still"], options.keep_still_s, options.lost_s)
        keep_s[tracks["away"]] = options.return_s
        keep_s[~tracks["confirmed"]] = options.doubt_s
        assert self._now_ns is not None
        unseen_ns = self._now_ns - np.where(tracks["away"], tracks["back_ns"], tracks["seen_ns"])
        kept = np.ones(len(self._tracks), np.bool_)
        kept[late] = unseen_ns < keep_s * _NS
        self._keep(kept)

    def _keep(self, rows: Flags) -> None:
        if not rows.all():
            self._tracks = self._tracks[rows]
            self._filter.keep(rows)

    def _told(self) -> Tracks:
        tracks = self._tracks.copy()
        return Tracks(
            track_id=tracks["track_id"],
            xyxy=to_xyxy(self._filter.box),
            class_id=tracks["class_id"],
            score=tracks["score"],
            row=tracks["row"],
            first_ns=tracks["first_ns"],
            seen_ns=tracks["seen_ns"],
            still_ns=np.where(tracks["still"], tracks["since_ns"], -1),
            confirmed=tracks["confirmed"],
            hits=tracks["hits"],
        )


def _usable(found: Detections, low_score: float) -> IntArray:
    """Rows with a box that has an area and a score that is high enough; NaN passes nothing."""
    xyxy = found.xyxy
    fits = np.abs(xyxy) <= FAR
    fits[:, :2] &= xyxy[:, 2:] >= xyxy[:, :2] + MIN_SIDE
    return np.flatnonzero(fits.all(axis=1) & (found.score >= low_score))
