"""What the device page shows, as it is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from edgemass.messages import CameraState, CountsMessage, EventMessage
from edgemass.messages.health import HealthMessage
from edgemass.sinks import Commanded
from edgemass.web.gallery import Gallery


class Latest(msgspec.Struct, frozen=True):
    """The newest document of a camera. found: how many boxes or classes. Milliseconds as in edgemass.detection/1.

    labels: how many boxes of each; who is counted beside them is out of sight for a moment. None where there are none.
    """

    seq: int
    time: str
    found: int
    infer_ms: float
    total_ms: float
    backend: str
    labels: dict[str, int] | None = None


class CameraNow(msgspec.Struct, frozen=True, kw_only=True):
    """view: there are pictures of it. why: there are none, in words. state: None before the first is told."""

    state: CameraState | None = None
    view: bool = False
    why: str = ""
    counts: CountsMessage | None = None
    latest: Latest | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Of /api/status. commands: whether somebody obeys. token: one is needed. health: None until the first is made."""

    device: str
    version: str
    run_id: str
    commands: bool
    token: bool
    health: HealthMessage | None
    cameras: dict[str, CameraNow]


class Row(msgspec.Struct, frozen=True):
    """One event as it stands. revision: grows with every change of any. picture: whether there is one."""

    revision: int
    event: EventMessage
    picture: bool


class Recent(msgspec.Struct, frozen=True):
    """Of /api/events: what changed after the revision that was asked for, newest first."""

    run_id: str
    revision: int
    events: list[Row]


@dataclass(frozen=True, kw_only=True)
class Given:
    """All of it is called in the server's own thread and must not wait.

    events: those that changed after a revision. picture: JPEG of an event by its id. metrics: text for Prometheus, None
    where nobody makes it. live, ready: for /healthz and /readyz. command: who obeys, None while the board starts.
    """

    status: Callable[[], Status]
    events: Callable[[int], Recent]
    picture: Callable[[str], bytes | None]
    gallery: Gallery
    live: Callable[[], bool]
    ready: Callable[[], bool]
    metrics: Callable[[], str] | None = None
    command: Callable[[], Commanded | None] = lambda: None
