"""How a device tells how it is."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges


class HealthConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a device tells how it is.

    every_s: between two health documents.
    textfile: a file that is kept for the textfile collector of Prometheus' node_exporter: its name must end in .prom.
    """

    every_s: float = 30.0
    textfile: str | None = None

    def __post_init__(self) -> None:
        check_ranges("health", ("every_s", self.every_s, 1.0, MAX_SECONDS))
        if self.textfile is not None and not (Path(self.textfile).is_absolute() and self.textfile.endswith(".prom")):
            raise ValueError(
                f"health: textfile must be an absolute path that ends in .prom, found {self.textfile!r}; node_exporter "
                "reads no others"
            )
