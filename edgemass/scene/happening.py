"""What a scene tells: values without names of devices and without a clock of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgemass.config.shapes import Point

Kind = Literal["object", "zone", "line"]
Type = Literal["new", "update", "end"]
Direction = Literal["in", "out"]
Box = tuple[float, float, float, float]
Numbers = dict[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One document's worth; see messages.EventMessage for the words. Times are the frames' own.

    until_ns: it goes on so far as is known: at an end, when the object was last seen there.
    number: of the event, in this scene. object: of the object that visits a zone or crosses a line, 0 for none.
    row: of the detections, where the object is in this frame; -1 where it is not seen.
    """

    type: Type
    kind: Kind
    number: int
    mono_ns: int
    started_ns: int
    until_ns: int
    track_id: int
    label: str
    class_id: int
    score: float | None
    top_score: float
    box: Box
    path: tuple[Point, ...] = ()
    zones: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    dwell_s: dict[str, float] = field(default_factory=dict)
    stationary: bool = False
    object: int = 0
    zone: str = ""
    line: str = ""
    direction: Direction | Literal[""] = ""
    reason: str = ""
    row: int = -1


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are; None while that cannot be known.

    available: whether it can. zones: name -> label -> number. lines: name -> way -> label -> crossings so far.
    """

    available: bool
    labels: Numbers
    zones: dict[str, Numbers]
    lines: dict[str, dict[Direction, dict[str, int]]]
