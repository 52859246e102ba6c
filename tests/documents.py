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
from edgemass.messages.health import (
    Board,
    CameraHealth,
    HealthMessage,
    Histogram,
    ModelHealth,
    OutputHealth,
    Percentiles,
    System,
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


def event(
    seq: int = 1, *, camera: str = "door", run_id: str = "5f0c", at_s: float = 0.0, synced: bool = True
) -> EventMessage:
    """Somebody came, `at_s` after the start."""
    return EventMessage(
        type="new",
        kind="object",
        id=f"{camera}-{run_id}-{seq}",
        device="pi-7f3a",
        camera=camera,
        seq=seq,
        run_id=run_id,
        boot_id="00000000-0000-0000-0000-000000000000",
        mono_ns=START_MONO_NS + round(at_s * NS),
        time=rfc3339(START_UNIX_NS + round(at_s * NS)),
        clock_synced=synced,
        started=rfc3339(START_UNIX_NS + round(at_s * NS)),
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


def health_message(**changes: Any) -> HealthMessage:
    """A device that is well: one camera, one model, one broker."""
    times = Percentiles(10.5, 20.25, 30.0)
    camera = CameraHealth(
        state="online",
        fps_asked=5.0,
        fps_captured=25.0,
        fps_processed=5.0,
        frames_captured=1000,
        frames_processed=200,
        dropped={"superseded": 10, "max_fps": 790},
        quality="excellent",
        lag_ms=times,
        total_ms=times,
        last_frame_s=0.2,
        infer=Histogram((10.0, 100.0), (150, 49, 1), 2500.0),
    )
    model = ModelHealth(
        name="tiny",
        version="1.0",
        digest="sha256:" + "0" * 64,
        variant="int8",
        backend="litert/xnnpack",
        requested="litert/xnnpack",
        infer_ms=times,
    )
    document: dict[str, Any] = {
        "device": "pi-7f3a",
        "run_id": "5f0c",
        "boot_id": "00000000-0000-0000-0000-000000000000",
        "seq": 1,
        "mono_ns": START_MONO_NS,
        "time": rfc3339(START_UNIX_NS),
        "clock_synced": True,
        "version": "1.0",
        "uptime_s": 100.0,
        "ready": True,
        "every_s": 30.0,
        "board": Board("raspberry-pi-4", "Raspberry Pi 4 Model B Rev 1.4"),
        "system": System(),
        "cameras": {"door": camera},
        "models": {"main": model},
        "outputs": {
            "mqtt": OutputHealth(connected=True, counters={"published": 190, "dropped": 5, "dropped.offline": 4})
        },
    }
    return HealthMessage(**{**document, **changes})
