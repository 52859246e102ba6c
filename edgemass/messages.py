"""The documents that leave a device. Public: a change of meaning is a new version in `schema`.

Machines get lenient: who reads these accepts unknown fields, since half a fleet is always older than the other.
JSON Schemas made from these types are checked in under `schemas/`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

DETECTION = "edgemass.detection/1"
CLASSIFICATION = "edgemass.classification/1"
REPORTED = "edgemass.reported/1"
DESIRED = "edgemass.desired/1"

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class FrameSize(msgspec.Struct, frozen=True):
    """Pixels of the frame after crop and rotation."""

    width: int
    height: int


class ModelRef(msgspec.Struct, frozen=True):
    """The model that answered. digest: of the bundle's manifest; variant: the file that is really loaded."""

    name: str
    version: str
    digest: str
    variant: str


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds. queue: from arrival of the frame to the start of its processing; infer: the runtime alone;
    total: from arrival to the finished document.
    """

    queue: float
    infer: float
    total: float


class Detection(msgspec.Struct, frozen=True, omit_defaults=True):
    """box: x1, y1, x2, y2 as fractions of the frame. track_id: only where a tracker runs."""

    label: str
    class_id: int
    score: Fraction
    box: tuple[Fraction, Fraction, Fraction, Fraction]
    track_id: int | None = None


class ClassScore(msgspec.Struct, frozen=True):
    label: str
    class_id: int
    score: Fraction


class _FrameDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What detection and classification documents share; one is published for every processed frame.

    seq: counts from 1 per camera and run, so that a gap is a lost document. boot_id: the kernel's; run_id: new for each
    process. mono_ns: the frame's time on the monotonic clock of that boot; time: the same as RFC 3339, only as true as
    clock_synced says. backend: what really ran; degraded: why it is not what was asked for, absent where it is.
    """

    device: str
    camera: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    run_id: str
    boot_id: str
    mono_ns: int
    time: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
    clock_synced: bool
    frame: FrameSize
    model: ModelRef
    backend: str
    latency_ms: Latency
    degraded: str | None = None


class DetectionMessage(_FrameDocument, frozen=True, kw_only=True, tag_field="schema", tag=DETECTION):
    """Boxes of one frame; an empty list when nothing was found."""

    detections: list[Detection]


class ClassificationMessage(_FrameDocument, frozen=True, kw_only=True, tag_field="schema", tag=CLASSIFICATION):
    """The best classes of one frame, best first."""

    classes: list[ClassScore]


class CameraState(msgspec.Struct, frozen=True):
    """Retained under camera/<c>/state. since: RFC 3339."""

    state: str
    reason: str
    since: str


Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
Phase = Literal[
    "idle",
    "fetching",
    "verifying",
    "proving",
    "swapping",
    "probation",
    "confirmed",
    "rolled_back",
    "failed",
]


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """Which model a slot of a device shall run. Over MQTT it is the payload of a DSSE envelope signed by the fleet.

    sequence: grows by one with every order for this slot; a smaller one is refused, the same one is the same order.
    issued, expires: RFC 3339 in UTC. digest: of the bundle's OCI manifest. device: "" in a local file means this board.
    """

    device: str
    slot: str
    sequence: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    issued: Time
    expires: Time
    name: str
    digest: Digest


class Reported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=REPORTED):
    """What a slot of a device really runs, and how far an update is. Retained under slot/<s>/reported.

    sequence: of the order that the phase speaks of, 0 where there was none; origin: who gave it, fleet or local.
    progress: of the phase, 0 to 1. name, version, digest, variant: of the model that is loaded now.
    wanted: digest that the order names, where it is not the one that is loaded. reason: why it failed or went back.
    since: when the phase began.
    """

    device: str
    slot: str
    phase: Phase
    name: str
    version: str
    digest: str
    variant: str
    since: Time
    sequence: int = 0
    origin: Literal["", "fleet", "local"] = ""
    progress: Fraction | None = None
    wanted: str = ""
    reason: str = ""


FrameMessage = DetectionMessage | ClassificationMessage

_encoder = msgspec.json.Encoder()


def to_json(message: FrameMessage | CameraState | Desired | Reported) -> bytes:
    """One line of JSON, no newline."""
    return _encoder.encode(message)
