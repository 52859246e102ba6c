"""A recording through the same scene again: the same documents, byte for byte, or those of another configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import av
import av.error
import msgspec
import numpy as np

from edgemass.config import CameraConfig
from edgemass.config.explaining import nearest
from edgemass.counters import Counters
from edgemass.detections import Detections
from edgemass.detector import Stream, Thresholds
from edgemass.errors import ConfigError, UsageError
from edgemass.frame import Frame, Image
from edgemass.imaging.orient import Orientation
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage, to_json
from edgemass.pipeline.line import LoadedModel
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import (
    HEADER,
    Given,
    GivenEnd,
    GivenFrame,
    GivenModel,
    GivenStart,
    GivenState,
    Known,
    Recording,
)
from edgemass.pipeline.reporting import SceneReporter
from edgemass.scene.scene import usable_score
from edgemass.sinks import Sink

T = TypeVar("T")
MAX_NS = (1 << 63) - 1
OF_PIXELS = ("snapshot", "clip")
"""What events say of pictures: a replay of detections has none."""


@dataclass(frozen=True)
class Replayed:
    """frames: in the recording. whole: it has its end; else a crash, a full disk or its largest size cut it off."""

    frames: int
    whole: bool


@dataclass(frozen=True)
class Difference:
    """A line of documents that is not as it was told then; None where one side has no more."""

    line: int
    recorded: str | None
    replayed: str | None


def read(folder: Path) -> Recording:
    """The header of a recording.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    path = folder / HEADER
    try:
        return msgspec.json.decode(path.read_bytes(), type=Recording)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; give the folder of `edgemass run --record`") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is no recording that this edgemass can read: {error}") from error


def replay(
    folder: Path,
    camera: str,
    sinks: Sequence[Sink],
    *,
    config: CameraConfig | None = None,
    model: LoadedModel | None = None,
    end: bool = True,
) -> Replayed:
    """Give one camera's scene what it was given then.

    config: another one than was recorded. model: detects anew in the recorded frames.
    end: end what still goes on where a recording was cut off, as it would have been at a stop.

    Raises:
        UsageError: the recording has no such camera, lacks the frames, or is damaged.
        ConfigError: the configuration names a label that the model does not have.
    """
    header = read(folder)
    if camera not in header.cameras:
        raise UsageError(f"{folder} has no camera {camera!r}{nearest(camera, list(header.cameras))}")
    if model is not None and not header.frames:
        raise UsageError(
            f"{folder} has no frames to detect in; record with `edgemass run --record DIR --record-frames`"
        )
    recorded = header.cameras[camera]
    run = _Run(
        SceneReporter(
            camera,
            config or recorded.config,
            Outlets(camera, sinks, Counters()),
            identity=Identity(header.device, header.boot_id, header.run_id),
            live=recorded.live,
            kept=recorded.counts,
        ),
        _Anew(model, folder / f"{camera}.mkv", config or recorded.config) if model is not None else None,
    )
    path = folder / f"{camera}.jsonl"
    for number, given in _lines(path, msgspec.json.Decoder[Given](Given)):
        try:
            run.take(given)
        except ValueError as error:
            raise UsageError(f"{path} is damaged in line {number}: {error}") from error
    whole = run.ended
    if end:
        run.finish()
    return Replayed(run.frames, whole)


def compare(folder: Path, camera: str, replayed: Sequence[bytes], *, whole: bool = True) -> Difference | None:
    """The first document that is not as it was recorded, what it says of pictures left aside.

    whole: see `Replayed`; of what was cut off either side may end first, and `replayed` was not ended.

    Raises:
        UsageError: the recording cannot be read.
    """
    then = _documents(folder / f"{camera}.events.jsonl")
    now = [_without_pixels(msgspec.json.decode(line)) for line in replayed]
    if not whole:
        length = min(len(then), len(now))
        then, now = then[:length], now[:length]
    for number, (old, new) in enumerate(zip_longest(then, now), 1):
        if old != new:
            return Difference(number, _text(old), _text(new))
    return None


def _documents(path: Path) -> list[dict[str, Any]]:
    """What was told, what it says of pictures left out."""
    return [_without_pixels(told) for _, told in _lines(path, msgspec.json.Decoder(dict[str, Any]))]


class Told:
    """A sink that keeps the lines."""

    name = "replay"

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def publish(self, message: FrameMessage, frame: Frame) -> None:
        pass

    def event(self, event: EventMessage, picture: bytes | None) -> None:  # noqa: ARG002 (a sink's form)
        self.lines.append(to_json(event))

    def counts(self, counts: CountsMessage) -> None:
        self.lines.append(to_json(counts))

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


class _Run:
    """frames: so far. ended: the recording's own end has come."""

    def __init__(self, reporter: SceneReporter, anew: _Anew | None) -> None:
        self.frames = 0
        self._reporter = reporter
        self._anew = anew
        self._model: Known | None = None
        self.ended = False

    def take(self, given: Given) -> None:
        """Raises ValueError: it is nothing that a recorder writes."""
        if not isinstance(given, GivenModel) and given.moment is not None:
            _check_moment(given.moment)
        if isinstance(given, GivenFrame):
            self._frame(given)
        elif isinstance(given, GivenModel):
            self._model = given.model if self._anew is None else self._anew.known
            _check_labels(self._reporter.config, self._model)
        elif isinstance(given, GivenStart):
            self._reporter.begin(given.moment)
        elif isinstance(given, GivenState):
            self._reporter.camera_state(given.state, given.moment)
        elif isinstance(given, GivenEnd):
            self._reporter.close(given.reason, given.moment)
            self.ended = True

    def finish(self) -> None:
        """For a recording that was cut off."""
        if not self.ended:
            self._reporter.close()

    def _frame(self, given: GivenFrame) -> None:
        if self._model is None:
            raise ValueError("a frame comes before any model")
        found = given.detections() if self._anew is None else self._anew.detections(given.size)
        if len(found) and int(found.class_id.max()) >= len(self._model.labels):
            raise ValueError(f"class id {found.class_id.max()} of a model with {len(self._model.labels)} labels")
        observation = self._reporter.observe(found, self._model, given.moment, given.size)
        if observation is not None:
            self._reporter.report(observation, given.moment, given.size)
        self.frames += 1


class _Anew:
    """Detects in the recorded frames, one after the other.

    They were cropped, turned and masked when they were recorded; the masks of `config` are laid over them once more.
    """

    def __init__(self, model: LoadedModel, path: Path, config: CameraConfig) -> None:
        manifest = model.detector.manifest
        self.known = Known(model.ref, manifest.labels, manifest.score)
        self._stream: Stream = model.detector.stream()
        self._pictures = _pictures(path)
        self._thresholds = Thresholds(usable_score(config, manifest.labels, manifest.score))
        self._masks = Orientation(masks=config.masks)

    def detections(self, size: tuple[int, int]) -> Detections:
        image = next(self._pictures, None)
        if image is None:
            raise UsageError("the recording is damaged: it has fewer pictures than frames")
        found = self._stream.detect(self._masks.apply(image), self._thresholds).found
        if not isinstance(found, Detections):
            raise UsageError("this model finds no boxes; give a detector")
        fractions = np.clip(found.xyxy / np.array([*size, *size], np.float64), 0, 1).astype(np.float32)
        return Detections(fractions, found.score, found.class_id)


def _pictures(path: Path) -> Iterator[Image]:
    try:
        with av.open(str(path)) as container:
            for picture in container.decode(video=0):
                yield np.asarray(picture.to_ndarray(format="bgr24"), np.uint8)
    except (OSError, av.error.FFmpegError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error


def _lines(path: Path, decoder: msgspec.json.Decoder[T]) -> Iterator[tuple[int, T]]:
    """Number and content of each line, in order; a last line that was cut off by a crash is left out.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                found = _decoded(line, decoder, f"{path} is damaged in line {number}")
                if found is None:
                    return
                yield number, found
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _decoded(line: bytes, decoder: msgspec.json.Decoder[T], damaged: str) -> T | None:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if not line.endswith(b"\n"):
            return None
        raise UsageError(f"{damaged}: {error}") from error


def _check_moment(moment: Moment) -> None:
    local = moment.local
    for field, value, most in (
        ("mono_ns", moment.mono_ns, MAX_NS),
        ("time_ns", moment.time_ns, MAX_NS),
        ("weekday", local.weekday, 6),
        ("minute", local.minute, 24 * 60 - 1),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{field} must lie between 0 and {most}, found {value}")


def _check_labels(config: CameraConfig, model: Known) -> None:
    try:
        config.check_model(model.ref.name, model.labels, model.score)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _without_pixels(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in OF_PIXELS}


def _text(document: dict[str, Any] | None) -> str | None:
    return None if document is None else msgspec.json.encode(document).decode()
