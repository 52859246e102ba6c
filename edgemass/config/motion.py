"""What counts as motion."""

from __future__ import annotations

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges


class MotionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as motion.

    threshold: steps of brightness, of 255, by which a place must differ from the background.
    min_area: fraction of the picture that must differ.
    heartbeat_s: a still scene is looked at so often all the same.
    linger_s: frames go on passing for so long after the last motion.
    """

    threshold: float = 15.0
    min_area: float = 0.0005
    heartbeat_s: float = 5.0
    linger_s: float = 2.0

    def __post_init__(self) -> None:
        check_ranges(
            "motion",
            ("threshold", self.threshold, 1.0, 254.0),
            ("min_area", self.min_area, 0.0, 1.0),
            ("heartbeat_s", self.heartbeat_s, 0.0, MAX_SECONDS),
            ("linger_s", self.linger_s, 0.0, MAX_SECONDS),
        )
