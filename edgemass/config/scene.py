"""What is looked for before a camera: objects, zones, lines. Places are fractions of the frame, (0, 0) top left."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges
from edgemass.config.shapes import Point, check_polygon, check_polyline

Anchor = Literal["bottom", "centre", "top"]
"""The point of a box that stands for the object: the middle of its lower edge (its feet), of itself, or of its upper
edge.
"""


class Filters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts. Everything that is given must hold.

    labels: of the model; empty = all. min_score: best score so far.
    min_area, max_area: of the box, as a fraction of the frame. min_ratio, max_ratio: width by height, in pixels.
    """

    labels: tuple[str, ...] = ()
    min_score: float = 0.0
    min_area: float = 0.0
    max_area: float = 1.0
    min_ratio: float = 0.0
    max_ratio: float = 1000.0

    def __post_init__(self) -> None:
        check_ranges(
            "",
            ("min_score", self.min_score, 0.0, 1.0),
            ("min_area", self.min_area, 0.0, 1.0),
            ("max_area", self.max_area, self.min_area, 1.0),
            ("min_ratio", self.min_ratio, 0.0, 1000.0),
            ("max_ratio", self.max_ratio, self.min_ratio, 1000.0),
        )


class ZoneConfig(Filters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the picture.

    points: corners of a polygon that does not cross itself. anchor: where this point of a box is, the object is.
    inertia: frames in a row that it must be inside, or outside, to be believed.
    dwell_s: a visit begins only when it has stayed for so long.
    """

    points: tuple[Point, ...]
    anchor: Anchor = "bottom"
    inertia: int = 3
    dwell_s: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_polygon(self.points)
        check_ranges("", ("inertia", self.inertia, 1, 1000), ("dwell_s", self.dwell_s, 0.0, MAX_SECONDS))


class LineConfig(Filters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line, straight or bent, that objects cross.

    points: two or more. anchor: the point of the box that must cross.
    flip: "in" is from the left of somebody who walks the line from its first point to its last to the right of them;
        with flip it is the other way. `edgemass annotate` draws the arrow.
    margin: of the box's side, by which the anchor must be beyond the line on either side, so that who stands on it is
        not counted for every wobble of the box.
    """

    points: tuple[Point, ...]
    anchor: Anchor = "bottom"
    flip: bool = False
    margin: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_polyline(self.points)
        check_ranges("", ("margin", self.margin, 0.0, 2.0))


class EventsConfig(Filters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which objects are told of, and when.

    enter: an object is believed when its score was above this in `frames` of the last `of_frames`; None = the camera's
        score.
    leave: it is believed to be there while its score is above this; None = while its track is, see `tracking`: that
        says too how long it may be unseen.
    stationary_s: it stands when it has not moved for so long.
    update_s: at most one update in so many seconds for an object. min_gap_s: at most one new event of a label in so
        many seconds; what comes between is counted and drawn, and has no event.
    anchor: the point of the box that the path follows. path_points: of an event's path.
    snapshots: best pictures beside events: the whole frame with the box drawn, the box alone, or none.
    snapshot_kb: size that a picture may have; brokers refuse large messages.
    """

    enter: float | None = None
    leave: float | None = None
    frames: int = 3
    of_frames: int = 5
    stationary_s: float = 10.0
    update_s: float = 5.0
    min_gap_s: float = 0.0
    anchor: Anchor = "bottom"
    path_points: int = 32
    snapshots: Literal["frame", "crop", "none"] = "frame"
    snapshot_kb: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(
            "",
            ("enter", self.enter, 0.0, 1.0),
            ("leave", self.leave, 0.0, 1.0 if self.enter is None else self.enter),
            ("of_frames", self.of_frames, 1, 100),
            ("frames", self.frames, 1, self.of_frames),
            ("stationary_s", self.stationary_s, 0.0, MAX_SECONDS),
            ("update_s", self.update_s, 0.0, MAX_SECONDS),
            ("min_gap_s", self.min_gap_s, 0.0, MAX_SECONDS),
            ("path_points", self.path_points, 2, 1000),
            ("snapshot_kb", self.snapshot_kb, 4, 4096),
        )
