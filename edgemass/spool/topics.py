"""Where events and accounts go, as the device is called now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Topics:
    """base: of all topics of the device. level: a camera's name as one level of a topic.

    What an earlier process left goes where this one's events go, whatever the device was called then: its account does.
    """

    base: str
    level: Callable[[str], str]

    def events(self, camera: str) -> str:
        return f"{self.base}/camera/{self.level(camera)}/events"

    def account(self, run_id: str) -> str:
        return f"{self.base}/account/{run_id}"
