"""Documents and frames as a camera's line makes them, for the tests of what takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgemass.clock import rfc3339
from edgemass.counters import Counters
from edgemass.frame import Frame
from edgemass.messages import (
    CameraState,
    ClassificationMessage,
    ClassScore,
    Detection,
    DetectionMessage,
    EventMessage,
    FrameSize,
    Latency,
    ModelRef,
)
from edgemass.sinks import SinkContext
from tests.simulators.manual_clock import NS, START_MONO_NS, START_UNIX_NS, ManualClock

WIDTH, HEIGHT = 64, 48
ONLINE = CameraState("online", "", rfc3339(START_UNIX_NS))
OFFLINE = CameraState("offline", "no frame for 10 s", rfc3339(START_UNIX_NS))

LEFT = (0.0, 0.4, 0.2, 0.6)
CENTRE = (0.4, 0.4, 0.6, 0.6)
RIGHT = (0.8, 0.4, 1.0, 0.6)
BOTTOM_RIGHT = (0.7, 0.7, 1.0, 1.0)

Found = tuple[str, tuple[float, float, float, float]]


def context(device: str = "pi-7f3a") -> SinkContext:
    return SinkContext(device, ManualClock(), Counters())


def detections(*found: str | Found, at_s: float = 0.0, camera: str = "door", seq: int = 1) -> DetectionMessage:
    """What was found in the frame `at_s` after the start: labels, each at the centre or where its box says."""
    boxes = [(item, CENTRE) if isinstance(item, str) else item for item in found]
    return DetectionMessage(
        detections=[Detection(label, index, 0.5, box) for index, (label, box) in enumerate(boxes)],
        **_common(at_s, camera, seq),
    )


def classification(*labels: str, at_s: float = 0.0, camera: str = "door", seq: int = 1) -> ClassificationMessage:
    """The classes of a frame, best first."""
    return ClassificationMessage(
        classes=[ClassScore(label, index, round(0.8 / (index + 1), 2)) for index, label in enumerate(labels)],
        **_common(at_s, camera, seq),
    )


def event(number: int = 1, camera: str = "door") -> EventMessage:
    """A person came into view."""
    return EventMessage(
        type="new",
        kind="object",
        id=f"{camera}-5f0c5f0c-{number}",
        device="pi-7f3a",
        camera=camera,
        seq=number,
        run_id="5f0c",
        boot_id="",
        mono_ns=START_MONO_NS,
        time=rfc3339(START_UNIX_NS),
        clock_synced=True,
        started=rfc3339(START_UNIX_NS),
        duration_s=0.0,
        label="person",
        score=0.5,
        top_score=0.5,
        box=(0.1, 0.2, 0.3, 0.4),
    )


def frame() -> Frame:
    """A grey one."""
    return Frame(
        lambda: np.full((HEIGHT, WIDTH, 3), 128, np.uint8),
        width=WIDTH,
        height=HEIGHT,
        mono_ns=START_MONO_NS,
        time_ns=START_UNIX_NS,
        arrived_ns=START_MONO_NS,
    )


def _common(at_s: float, camera: str, seq: int) -> dict[str, Any]:
    passed_ns = round(at_s * NS)
    return {
        "device": "pi-7f3a",
        "camera": camera,
        "seq": seq,
        "run_id": "5f0c",
        "boot_id": "00000000-0000-0000-0000-000000000000",
        "mono_ns": START_MONO_NS + passed_ns,
        "time": rfc3339(START_UNIX_NS + passed_ns),
        "clock_synced": True,
        "frame": FrameSize(WIDTH, HEIGHT),
        "model": ModelRef("tiny", "1.0", "sha256:00", "fp32"),
        "backend": "litert/xnnpack",
        "latency_ms": Latency(1.2, 31.0, 34.9),
    }
