"""A recording through the same scene again: the same documents, byte for byte, or those of another configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import av.error
import msgspec
import numpy as np

from edgemass.config import CameraConfig
from edgemass.config.reading import nearest
from edgemass.counters import Counters
from edgemass.detections import Detections
from edgemass.detector import Stream, Thresholds
from edgemass.errors import ConfigError, UsageError
from edgemass.frame import Frame, Image
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage, to_json
from edgemass.pipeline.line import LoadedModel
from edgemass.pipeline.moment import Identity
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

OF_PIXELS = ("snapshot", "clip")
"""What events say of pictures: a replay of detections has none."""


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
) -> int:
    """Give one camera's scene what it was given then; returns the number of frames.

    config: another one than was recorded. model: detects anew in the recorded frames.

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
    for given in _lines(folder / f"{camera}.jsonl"):
        run.take(given)
    run.finish()
    return run.frames


def compare(folder: Path, camera: str, replayed: Sequence[bytes]) -> Difference | None:
    """The first document that is not as it was recorded, what it says of pictures left aside.

    Raises:
        UsageError: the recording cannot be read.
    """
    path = folder / f"{camera}.events.jsonl"
    try:
        then = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    for number, (old, new) in enumerate(zip_longest(map(_without_pixels, then), map(_without_pixels, replayed)), 1):
        if old != new:
            return Difference(number, _text(old), _text(new))
    return None


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
    """frames: so far."""

    def __init__(self, reporter: SceneReporter, anew: _Anew | None) -> None:
        self.frames = 0
        self._reporter = reporter
        self._anew = anew
        self._model: Known | None = None
        self._ended = False

    def take(self, given: Given) -> None:
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
            self._ended = True

    def finish(self) -> None:
        """For a recording that was cut off."""
        if not self._ended:
            self._reporter.close()

    def _frame(self, given: GivenFrame) -> None:
        if self._model is None:
            raise UsageError("the recording is damaged: a frame comes before any model")
        found = given.detections() if self._anew is None else self._anew.detections(given.size)
        observation = self._reporter.observe(found, self._model, given.moment, given.size)
        if observation is not None:
            self._reporter.report(observation, given.moment, given.size)
        self.frames += 1


class _Anew:
    """Detects in the recorded frames, one after the other."""

    def __init__(self, model: LoadedModel, path: Path, config: CameraConfig) -> None:
        manifest = model.detector.manifest
        self.known = Known(model.ref, manifest.labels, manifest.score)
        self._stream: Stream = model.detector.stream()
        self._pictures = _pictures(path)
        self._thresholds = Thresholds(usable_score(config, manifest.labels, manifest.score))

    def detections(self, size: tuple[int, int]) -> Detections:
        image = next(self._pictures, None)
        if image is None:
            raise UsageError("the recording is damaged: it has fewer pictures than frames")
        found = self._stream.detect(image, self._thresholds).found
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


def _lines(path: Path) -> Iterator[Given]:
    """What was given, in order; a last line that was cut off by a crash is left out."""
    decoder = msgspec.json.Decoder(Given)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    given: Given = decoder.decode(line)
                except msgspec.DecodeError as error:
                    if not line.endswith(b"\n"):
                        return
                    raise UsageError(f"{path} is damaged in line {number}: {error}") from error
                yield given
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _check_labels(config: CameraConfig, model: Known) -> None:
    for key, label in config.named_labels():
        if label not in model.labels:
            raise ConfigError(
                f"{key} names {label!r}, which {model.ref.name} does not know{nearest(label, model.labels)}"
            )


def _without_pixels(line: bytes | None) -> dict[str, Any] | None:
    if line is None:
        return None
    document: dict[str, Any] = msgspec.json.decode(line)
    return {key: value for key, value in document.items() if key not in OF_PIXELS}


def _text(document: dict[str, Any] | None) -> str | None:
    return None if document is None else msgspec.json.encode(document).decode()
