"""How the device shows itself to Home Assistant."""

from __future__ import annotations

import msgspec


class HomeAssistantConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Device discovery over every broker among the sinks.

    enabled: false takes back what an earlier run announced. prefix: of Home Assistant's discovery topics.
    """

    enabled: bool = True
    prefix: str = "homeassistant"

    def __post_init__(self) -> None:
        if not self.prefix.strip("/") or any(mark in self.prefix for mark in "+#"):
            raise ValueError(f"prefix must be the beginning of a topic such as homeassistant, found {self.prefix!r}")
