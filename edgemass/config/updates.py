"""Models that are sent to a board."""

from __future__ import annotations

import msgspec

from edgemass.config.names import NAME_WANTED, is_name
from edgemass.config.ranges import MAX_SECONDS, check_ranges


class UpdatesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models that are sent to this board.

    registry: oci://host[:port]/repository, or the folder of an OCI layout; None = only what a person puts in the store.
    trust: the root of trust, the file 1.root.json of `edgemass trust init`; needed with a registry.
    metadata: where the trust metadata is; None = <registry>/trust/.
    ca: certificates to trust beside the system's. user, password_file: of the registry.
    bandwidth: bytes a second that a download may take; None = all there is.
    hardware: further words that this board answers to, beside its machine type and the names in its device tree.
    slot: of this board's model. deadline_s: of everything from an order to the last byte.
    probation_s: a new model has to do well for so long before it stays.
    max_slowdown: a new model may take so many times as long for a frame (95th percentile).
    keep: confirmed models that stay in the store; at least two.
    """

    registry: str | None = None
    trust: str | None = None
    metadata: str | None = None
    ca: str | None = None
    user: str | None = None
    password_file: str | None = None
    bandwidth: float | None = None
    hardware: tuple[str, ...] = ()
    slot: str = "main"
    deadline_s: float = 3600.0
    probation_s: float = 300.0
    max_slowdown: float = 2.0
    keep: int = 2

    def __post_init__(self) -> None:
        if not is_name(self.slot):
            raise ValueError(f"slot {self.slot!r} {NAME_WANTED}")
        if self.registry is not None and self.trust is None:
            raise ValueError("registry without trust: name the root of trust, 1.root.json of `edgemass trust init`")
        check_ranges(
            "updates",
            ("bandwidth", self.bandwidth, 1024.0, 1e12),
            ("deadline_s", self.deadline_s, 1.0, MAX_SECONDS),
            ("probation_s", self.probation_s, 0.0, MAX_SECONDS),
            ("max_slowdown", self.max_slowdown, 1.0, 1000.0),
            ("keep", self.keep, 2, 100),
        )
