"""Whether a camera sees: what its capture and its pictures say, joined into one state."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from edgemass.clock import Clock, rfc3339
from edgemass.errors import SourceError
from edgemass.frame import Frame
from edgemass.messages import CameraState
from edgemass.pipeline.ledger import Ledger
from edgemass.scene.integrity import Integrity, Memory
from edgemass.scene.motion import brightness

logger = logging.getLogger(__name__)

ONLINE, OFFLINE, BLIND = "online", "offline", "blind"


class Sight:
    """One camera's. `captured` is for the capture's thread, `look` for the detect loop.

    tell: told of every change of the state, in order; it must not wait.
    ledger: where what is normal before this camera outlives the process.
    """

    def __init__(
        self,
        camera: str,
        integrity: Integrity | None,
        tell: Callable[[CameraState], None],
        clock: Clock,
        ledger: Ledger[Memory] | None = None,
    ) -> None:
        self._camera = camera
        self._integrity = integrity
        self._tell = tell
        self._clock = clock
        self._ledger = ledger
        self._lock = threading.Lock()
        self._captured: CameraState | None = None
        self._cause = ""
        self._forget = False

    def captured(self, state: CameraState) -> None:
        """The camera came or went."""
        with self._lock:
            self._captured = state
            if state.state != ONLINE:
                self._cause, self._forget = "", True
            self._tell(state)

    def look(self, frame: Frame) -> None:
        """Judge a frame; to be shown every one, also those that no detector sees."""
        if self._integrity is None:
            return
        if self._forget:
            self._forget = False
            self._integrity.forget()
        if not self._integrity.due(frame.mono_ns):
            return  # and it is not converted for it
        try:
            verdict = self._integrity.look(brightness(frame), frame.mono_ns)
        except SourceError:
            return  # it cannot be converted: whoever runs it counts that
        if verdict.cause != self._cause:
            self._change(verdict.cause or "", verdict.evidence)

    def keep(self, *, now: bool = False) -> None:
        """Write what was learned, where that is due."""
        if self._ledger is None or self._integrity is None or not (now or self._ledger.due):
            return
        memory = self._integrity.memory()
        if memory is not None:
            self._ledger.write(memory, now=now)

    def _change(self, cause: str, evidence: Mapping[str, float]) -> None:
        with self._lock:
            self._cause = cause
            if self._captured is None or self._captured.state != ONLINE:
                return
            since = rfc3339(self._clock.time_ns())
            if cause:
                numbers = ", ".join(f"{name} {value:g}" for name, value in evidence.items())
                logger.warning("the camera is blind: %s (%s)", cause, numbers, extra={"camera": self._camera})
                self._tell(CameraState(BLIND, f"{cause}: {numbers}" if numbers else cause, since))
            else:
                logger.info("the camera sees again", extra={"camera": self._camera})
                self._tell(CameraState(ONLINE, "", since))
