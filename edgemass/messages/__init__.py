"""The documents that leave a device. Public: a change of meaning is a new version in `schema`.

Machines get lenient: who reads these accepts unknown fields, since half a fleet is always older than the other.
JSON Schemas made from these types are checked in under `schemas/`. `health` holds what says how a device is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from edgemass.messages.health import AccountMessage, HealthMessage

DETECTION = "edgemass.detection/1"
CLASSIFICATION = "edgemass.classification/1"
REPORTED = "edgemass.reported/1"
DESIRED = "edgemass.desired/1"
EVENT = "edgemass.event/1"
COUNTS = "edgemass.counts/1"

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


Place = tuple[Fraction, Fraction]
Time = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]


class EventMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="schema", tag=EVENT):
    """Something that a person would tell another; one document when it begins, few while it goes on, one at its end.

    kind: object (a thing that came into view), zone (its visit to a zone), line (a crossing, over at once: only "end"),
    camera (a camera that is away or blind). type: new, update, end. id: the same in all documents of one event.
    seq: counts the events of a camera and run. mono_ns, time, clock_synced: of this document, as elsewhere.
    started: when the event began. duration_s: from then to now; at an end, until it was last seen.
    track_id: as in edgemass.detection/1.
    score: of now, top_score: the best so far. box: where it is, or was last seen; fractions of the frame.
    path: where its anchor point was, oldest first, thinned. zones: where it is now. entered: where it ever was.
    dwell_s: seconds in each zone, those before included. stationary: it has not moved for a while.
    object: id of the object's event, in those of its zones and lines. zone, line: names. direction: over the line.
    state, reason: of a camera; reason also of an end: left (gone from view), camera (gone while the camera was away),
    stopped (edgemass ended, or the camera was switched off), model, configuration (another one took over).
    snapshot: its best picture, as sent. clip: name of its file in the folder of clips.
    replayed: it left more than a second after it was made, or after its run: it waited for the broker.
    duplicate_possible: it may have been sent before; the same camera, run_id and seq are the same document.
    time_corrected: it was made before the clock was set; `time` and the other times are what the clock says since, and
    time_stamped is what `time` was.
    """

    type: Literal["new", "update", "end"]
    kind: Literal["object", "zone", "line", "camera"]
    id: str
    device: str
    camera: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    run_id: str
    boot_id: str
    mono_ns: int
    time: Time
    clock_synced: bool
    started: Time
    duration_s: float
    label: str = ""
    class_id: int | None = None
    track_id: int | None = None
    score: Fraction | None = None
    top_score: Fraction | None = None
    box: tuple[Fraction, Fraction, Fraction, Fraction] | None = None
    path: tuple[Place, ...] = ()
    zones: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    dwell_s: dict[str, float] = {}
    stationary: bool = False
    object: str = ""
    zone: str = ""
    line: str = ""
    direction: Literal["", "in", "out"] = ""
    state: str = ""
    reason: str = ""
    snapshot: SnapshotRef | None = None
    clip: str = ""
    model: ModelRef | None = None
    replayed: bool = False
    duplicate_possible: bool = False
    time_corrected: bool = False
    time_stamped: str = ""


class SnapshotRef(msgspec.Struct, frozen=True):
    """A picture that was sent beside an event. time: when it was taken."""

    width: int
    height: int
    size_bytes: int
    time: Time


class InOut(msgspec.Struct, frozen=True):
    """Crossings of a line by label, each way, since it was first counted."""

    in_: dict[str, int] = msgspec.field(name="in", default_factory=dict)
    out: dict[str, int] = msgspec.field(default_factory=dict)


class CountsMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=COUNTS):
    """How many are there now, by label, and how many crossed each line; sent whenever one of these changes.

    available: false while nobody can know, since the camera is away or blind: the numbers are null then.
    """

    device: str
    camera: str
    mono_ns: int
    time: Time
    clock_synced: bool
    available: bool
    labels: dict[str, int | None]
    zones: dict[str, dict[str, int | None]]
    lines: dict[str, InOut]


class CameraState(msgspec.Struct, frozen=True):
    """Retained under camera/<c>/state. since: RFC 3339."""

    state: str
    reason: str
    since: str


Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}$")]
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


Message = (
    FrameMessage | EventMessage | CountsMessage | CameraState | Desired | Reported | HealthMessage | AccountMessage
)


def to_json(message: Message) -> bytes:
    """One line of JSON, no newline."""
    return _encoder.encode(message)
