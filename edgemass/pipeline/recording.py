"""What a camera's scene was given, in a folder: for bug reports, tests, and to try other zones on what really happened.

recording.json         edgemass.recording/1: device, run, and for each camera its configuration and counts at the start
<camera>.jsonl         what the scene was given: models, frames with every detection, states, the end
<camera>.events.jsonl  what it told: edgemass.event/1 and edgemass.counts/1
<camera>.mkv           the frames themselves, lossless, where asked for: the n-th is the n-th frame of <camera>.jsonl
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import IO, Literal

import av
import av.error
import msgspec
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edgemass import __version__
from edgemass.config import CameraConfig
from edgemass.detections import Detections
from edgemass.errors import SourceError, UsageError
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, EventMessage, ModelRef, to_json
from edgemass.pipeline.ledger import Entry
from edgemass.pipeline.moment import Identity, Moment
from edgemass.scene.tracker import FAR

logger = logging.getLogger(__name__)

HEADER = "recording.json"
MAX_BYTES = 1 << 30
"""Of one camera's files; then its recording ends."""
MAX_SIDE = 65535
MAX_CLASS = 1_000_000
_SYNC_LINES = 20


class RecordedCamera(msgspec.Struct, frozen=True):
    """config: as it was. live: see Source.live. counts: what it had counted before."""

    config: CameraConfig
    live: bool
    counts: Entry


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """The header: who recorded what. frames: whether the pictures are there too."""

    schema: Literal["edgemass.recording/1"] = "edgemass.recording/1"
    edgemass: str = __version__
    device: str
    boot_id: str
    run_id: str
    frames: bool
    cameras: dict[str, RecordedCamera]


class Known(msgspec.Struct, frozen=True):
    """What a scene must know of a model. score: from which the model believes itself."""

    ref: ModelRef
    labels: tuple[str, ...]
    score: float


class GivenStart(msgspec.Struct, frozen=True, tag="start"):
    moment: Moment


class GivenModel(msgspec.Struct, frozen=True, tag="model"):
    """From here on this one answers."""

    model: Known


class GivenFrame(msgspec.Struct, frozen=True, tag="frame"):
    """size: width and height in pixels. found: of each box x1, y1, x2, y2 as fractions, score, class id.

    Raises:
        ValueError: a size that no picture has, a box or score that is none, or a class that no model has.
    """

    moment: Moment
    size: tuple[int, int]
    found: list[tuple[float, float, float, float, float, int]]

    def __post_init__(self) -> None:
        if not all(0 < side <= MAX_SIDE for side in self.size):
            raise ValueError(f"size must lie between 1 and {MAX_SIDE}, found {list(self.size)}")
        for *numbers, class_id in self.found:
            if not all(abs(number) <= FAR for number in numbers):
                raise ValueError(f"a box and its score must be fractions, found {numbers}")
            if not 0 <= class_id <= MAX_CLASS:
                raise ValueError(f"class id must lie between 0 and {MAX_CLASS}, found {class_id}")

    @classmethod
    def of(cls, found: Detections, moment: Moment, size: tuple[int, int]) -> GivenFrame:
        sane = (np.abs(found.xyxy) <= FAR).all(axis=1) & (np.abs(found.score) <= FAR)  # a scene passes others over
        columns = (*found.xyxy[sane].T.tolist(), found.score[sane].tolist(), found.class_id[sane].tolist())
        return cls(moment, size, list(zip(*columns, strict=True)))

    def detections(self) -> Detections:
        rows = np.array(self.found, np.float64).reshape(-1, 6)
        return Detections(rows[:, :4].astype(np.float32), rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int64))


class GivenState(msgspec.Struct, frozen=True, tag="state"):
    moment: Moment
    state: CameraState


class GivenEnd(msgspec.Struct, frozen=True, tag="end"):
    """moment: None where nobody knew it."""

    reason: str
    moment: Moment | None = None


Given = GivenStart | GivenModel | GivenFrame | GivenState | GivenEnd


class Recorder:
    """Writes one recording; each camera has its own `CameraRecorder`.

    Raises:
        UsageError: the folder holds one already, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        cameras: Mapping[str, RecordedCamera],
        identity: Identity,
        *,
        frames: bool,
    ) -> None:
        header = Recording(
            device=identity.device,
            boot_id=identity.boot_id,
            run_id=identity.run_id,
            frames=frames,
            cameras=dict(cameras),
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / HEADER).open("xb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(header)) + b"\n")
        except FileExistsError:
            raise UsageError(f"{folder} holds a recording already; give another folder") from None
        except OSError as error:
            raise UsageError(f"cannot record into {folder}: {error.strerror}") from error
        self.cameras = {name: CameraRecorder(folder, name, frames=frames) for name in cameras}

    def close(self) -> None:
        for camera in self.cameras.values():
            camera.close()


class CameraRecorder:
    """One camera's part. A disk that does not take it ends the recording, not the camera. For any thread."""

    def __init__(self, folder: Path, camera: str, *, frames: bool) -> None:
        self._name = camera
        self._left = MAX_BYTES
        self._lock = threading.Lock()
        self._given: IO[bytes] | None = (folder / f"{camera}.jsonl").open("wb")
        self._told = (folder / f"{camera}.events.jsonl").open("wb")
        self._video = _Video(folder / f"{camera}.mkv") if frames else None
        self._lines = 0

    def give(self, given: Given, frame: Frame | None = None) -> None:
        """Take down what the scene is given. frame: the picture that belongs to it."""
        with self._lock:
            if self._given is None:
                return
            try:
                self._write(self._given, msgspec.json.encode(given))
                if self._video is not None and frame is not None:
                    self._left -= self._video.write(frame)
            except (OSError, av.error.FFmpegError, SourceError) as error:
                self._end(f"{error}")
                return
            if self._left <= 0:
                self._end("it has grown to the size that it may have")

    def tell(self, document: EventMessage | CountsMessage) -> None:
        """Take down what the scene tells."""
        with self._lock:
            if self._given is None:
                return
            try:
                self._write(self._told, to_json(document))
            except OSError as error:
                self._end(f"{error}")

    def close(self) -> None:
        with self._lock:
            self._close()

    def _write(self, file: IO[bytes], line: bytes) -> None:
        file.write(line + b"\n")
        self._left -= len(line) + 1
        self._lines += 1
        if self._lines % _SYNC_LINES == 0:
            file.flush()

    def _end(self, reason: str) -> None:
        logger.warning("the recording ends here: %s", reason, extra={"camera": self._name})
        self._close()

    def _close(self) -> None:
        if self._given is None:
            return
        for file in (self._given, self._told):
            with contextlib.suppress(OSError):
                file.close()
        self._given = None
        if self._video is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                self._video.close()


class _Video:
    """Frames as FFV1 in Matroska: every pixel as it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._container: OutputContainer | None = None
        self._stream: VideoStream
        self._first_ns = 0
        self._last_ms = -1

    def write(self, frame: Frame) -> int:
        """Returns its bytes."""
        if self._container is None:
            self._container = av.open(str(self._path), "w", format="matroska")
            self._stream = self._container.add_stream("ffv1", rate=1000)
            self._stream.width, self._stream.height, self._stream.pix_fmt = frame.width, frame.height, "bgr0"
            self._stream.codec_context.time_base = Fraction(1, 1000)
            self._first_ns = frame.mono_ns
        elif (frame.width, frame.height) != (self._stream.width, self._stream.height):
            raise SourceError("the frames have another size from here on")
        picture = VideoFrame.from_ndarray(frame.image, format="bgr24").reformat(format="bgr0")
        self._last_ms = max(round((frame.mono_ns - self._first_ns) / 1e6), self._last_ms + 1)
        picture.pts, picture.time_base = self._last_ms, Fraction(1, 1000)
        return self._mux(picture)

    def _mux(self, picture: VideoFrame | None) -> int:
        assert self._container is not None
        size = 0
        for packet in self._stream.encode(picture):
            size += packet.size
            self._container.mux(packet)
        return size

    def close(self) -> None:
        if self._container is not None:
            self._mux(None)
            self._container.close()
