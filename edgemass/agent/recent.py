"""What a device saw lately, in memory, for whoever looks at its page."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, DetectionMessage, EventMessage, FrameMessage
from edgemass.sinks import Commanded
from edgemass.web.given import Latest, Recent, Row

MAX_EVENTS = 100
MAX_PICTURE_BYTES = 8 << 20
"""Of all pictures together; older events lose theirs first."""


@dataclass
class _Kept:
    event: EventMessage
    revision: int
    picture: bytes | None


class RecentSink:
    """A sink of the agent's own: the newest of everything, and the last events with their pictures.

    handle: who obeys what is asked on the page, None while nobody does.
    """

    def __init__(self, run_id: str) -> None:
        self.name = "page"
        self.handle: Commanded | None = None
        self._run_id = run_id
        self._lock = threading.Lock()
        self._events: OrderedDict[str, _Kept] = OrderedDict()
        self._revision = 0
        self._picture_bytes = 0
        self._latest: dict[str, FrameMessage] = {}
        self._counts: dict[str, CountsMessage] = {}
        self._states: dict[str, CameraState] = {}

    # A sink

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        self._latest[message.camera] = message

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        with self._lock:
            self._revision += 1
            before = self._events.pop(event.id, None)
            if picture is None and before is not None:
                picture = before.picture
            self._events[event.id] = _Kept(event, self._revision, picture)
            self._picture_bytes += len(picture or b"") - len((before.picture if before is not None else None) or b"")
            self._thin()

    def counts(self, counts: CountsMessage) -> None:
        self._counts[counts.camera] = counts

    def camera_state(self, camera: str, state: CameraState) -> None:
        self._states[camera] = state

    def close(self, timeout_s: float) -> None:
        pass

    def obey(self, handle: Commanded) -> None:
        """Hand over what is asked on the page."""
        self.handle = handle

    def forget(self, camera: str) -> None:
        """Nothing of this camera's is to be seen any more."""
        with self._lock:
            for event in [name for name, kept in self._events.items() if kept.event.camera == camera]:
                self._picture_bytes -= len(self._events.pop(event).picture or b"")
        self._latest.pop(camera, None)

    # For the page

    def latest_of(self, camera: str) -> Latest | None:
        message = self._latest.get(camera)
        if message is None:
            return None
        labels: dict[str, int] | None = None
        if isinstance(message, DetectionMessage):
            found, labels = len(message.detections), dict(Counter(box.label for box in message.detections))
        else:
            found = len(message.classes)
        took = message.latency_ms
        return Latest(message.seq, message.time, found, took.infer, took.total, message.backend, labels)

    def counts_of(self, camera: str) -> CountsMessage | None:
        return self._counts.get(camera)

    def state_of(self, camera: str) -> CameraState | None:
        return self._states.get(camera)

    def events_since(self, revision: int) -> Recent:
        with self._lock:
            rows = [
                Row(kept.revision, kept.event, kept.picture is not None)
                for kept in reversed(self._events.values())
                if kept.revision > revision
            ]
            return Recent(self._run_id, self._revision, rows)

    def picture_of(self, event: str) -> bytes | None:
        """JPEG, None where there is none or no longer."""
        kept = self._events.get(event)
        return kept.picture if kept is not None else None

    def _thin(self) -> None:
        while len(self._events) > MAX_EVENTS:
            _, oldest = self._events.popitem(last=False)
            self._picture_bytes -= len(oldest.picture or b"")
        for kept in self._events.values():
            if self._picture_bytes <= MAX_PICTURE_BYTES:
                break
            self._picture_bytes -= len(kept.picture or b"")
            kept.picture = None
