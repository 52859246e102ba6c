"""What a tracked thing is to those who watch: believed or not, standing or moving, and what was told of it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from edgemass.config.shapes import Point
from edgemass.scene.happening import Box, Direction
from edgemass.scene.visits import Visit

STEP = 0.01  # of the frame: a place nearer than that to the one before adds nothing to a path
TAIL_POINTS = 24
_EDGE = 0.004  # of the frame: a box so near to the border is probably cut off


@dataclass(slots=True)
class SceneObject:
    """One thing in view. Everything here belongs to one Scene, which alone changes it.

    first_ns, seen_ns: when it was seen first and last. number: of its event, 0 until it is announced or where it has
    none. believed: it was seen often enough. counted: it met the filters of the events once.
    row: of the detections of this frame, -1 where it is not among them. window: of the last frames, whether its score
    was high enough to be believed. doubt_ns: since when its score has been too low to keep it, None while it is not.
    told*: in its last document.
    missed_ns: while the camera was away.
    approaches: by line, where it was when it was last surely beside it. crossings: not told yet: line, way, time.
    """

    track_id: int
    first_ns: int
    label: str
    class_id: int
    box: Box
    window: deque[bool]
    row: int = -1
    seen_ns: int = 0
    score: float = 0.0
    top_score: float = 0.0
    believed: bool = False
    counted: bool = False
    stationary: bool = False
    doubt_ns: int | None = None
    missed_ns: int = 0
    number: int = 0
    told_ns: int = 0
    told: tuple[object, ...] = ()
    told_place: Point = (0.0, 0.0)
    visits: dict[str, Visit] = field(default_factory=dict)
    approaches: dict[str, Point] = field(default_factory=dict)
    crossings: list[tuple[str, Direction, int]] = field(default_factory=list)
    path: list[Point] = field(default_factory=list)
    tail: deque[Point] = field(default_factory=lambda: deque(maxlen=TAIL_POINTS))
    stride: int = 1
    steps: int = 0

    @property
    def zones(self) -> tuple[str, ...]:
        """Where it is now."""
        return tuple(name for name, visit in self.visits.items() if visit.inside)

    @property
    def entered(self) -> tuple[str, ...]:
        """Where it was at any time."""
        return tuple(name for name, visit in self.visits.items() if visit.inside or visit.before_s > 0)

    def dwell_s(self) -> dict[str, float]:
        """Seconds in each zone, until it was last seen."""
        return {name: round(self.visits[name].dwell_s(self.seen_ns), 3) for name in self.entered}

    def miss(self, nanoseconds: int) -> None:
        """The camera was away for so long: whether it was there meanwhile is not known."""
        self.missed_ns += nanoseconds
        for visit in self.visits.values():
            visit.missed_ns += nanoseconds

    def walk(self, place: Point, most: int) -> None:
        """Add a place to the path, which is thinned to at most `most` points."""
        self.tail.append(place)
        if self.path and abs(place[0] - self.path[-1][0]) + abs(place[1] - self.path[-1][1]) < STEP:
            return
        self.steps += 1
        if self.steps % self.stride:
            return
        self.path.append(place)
        if len(self.path) > most:
            self.path = self.path[::2]
            self.stride *= 2

    @property
    def worth(self) -> float:
        """How good a picture of it this frame is: sure, large, and not cut off by the border."""
        x1, y1, x2, y2 = self.box
        whole = x1 > _EDGE and y1 > _EDGE and x2 < 1 - _EDGE and y2 < 1 - _EDGE
        return self.score * math.sqrt((x2 - x1) * (y2 - y1)) * (1.0 if whole else 0.6)
