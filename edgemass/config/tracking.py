"""How detections of one picture are joined to those of the next."""

from __future__ import annotations

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges


class TrackConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How detections of one picture are joined to those of the next.

    high_score: a detection from here on can begin a track. low_score: one between low_score and high_score can only
        go on with a track that is there; below, it is not looked at.
    overlap: how much of a box and of where its track is expected must be shared (intersection over union).
    across_classes: one object may change its label between pictures; it is then called what it was called most.
    confirm_s: what is seen so far apart counts as seen twice; a track that was seen once for certain and a third of
        a time more is believed.
    doubt_s: a track that is not believed yet ends when it is not seen for so long. lost_s: one that moved.
    keep_still_s: one that stood still; what stands before it must have time to go away.
    return_s: what was there before the camera went away has so long to be seen again.
    still_s: what stays in its place for so long stands still.
    """

    high_score: float = 0.25
    low_score: float = 0.1
    overlap: float = 0.2
    across_classes: bool = False
    confirm_s: float = 0.5
    doubt_s: float = 0.5
    lost_s: float = 2.0
    keep_still_s: float = 30.0
    return_s: float = 5.0
    still_s: float = 3.0

    def __post_init__(self) -> None:
        check_ranges(
            "tracking",
            ("high_score", self.high_score, 0.0, 1.0),
            ("low_score", self.low_score, 0.0, 1.0),
            ("overlap", self.overlap, 0.01, 0.95),
            ("confirm_s", self.confirm_s, 0.0, MAX_SECONDS),
            ("doubt_s", self.doubt_s, 0.0, MAX_SECONDS),
            ("lost_s", self.lost_s, 0.0, MAX_SECONDS),
            ("keep_still_s", self.keep_still_s, 0.0, MAX_SECONDS),
            ("return_s", self.return_s, 0.0, MAX_SECONDS),
            ("still_s", self.still_s, 0.0, MAX_SECONDS),
        )
        if self.low_score > self.high_score:
            raise ValueError(
                f"tracking: low_score must not be above high_score, found {self.low_score:g} and {self.high_score:g}"
            )
