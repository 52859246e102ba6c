"""What is kept of a camera's own video around events."""

from __future__ import annotations

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges


class ClipsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Clips of the camera's own video around events, as it was sent.

    folder: of the clips; several cameras may share one.
    pre_roll_s: before an event, from the key frame before that on; held in memory. post_roll_s: after its end.
    max_s: of a clip, from its pre-roll on, whatever goes on.
    max_age_days: older clips are deleted. max_bytes: of all clips in the folder; the oldest are deleted first.
    """

    folder: str
    pre_roll_s: float = 5.0
    post_roll_s: float = 5.0
    max_s: float = 120.0
    max_age_days: float = 7.0
    max_bytes: float = 1e9

    def __post_init__(self) -> None:
        if not self.folder:
            raise ValueError("clips: folder must name a folder, found nothing")
        check_ranges(
            "clips",
            ("pre_roll_s", self.pre_roll_s, 0.0, 60.0),
            ("post_roll_s", self.post_roll_s, 0.0, 600.0),
            ("max_s", self.max_s, 1.0, MAX_SECONDS),
            ("max_age_days", self.max_age_days, 0.001, 3650.0),
            ("max_bytes", self.max_bytes, 1e6, 1e15),
        )
        if self.max_s <= self.pre_roll_s:
            raise ValueError(f"clips: max_s must be more than pre_roll_s, found {self.max_s:g} and {self.pre_roll_s:g}")
