"""Annotated pictures of what was found: `snapshots:DIR[?every_s=10&max_files=100&quality=85]`.

A frame with something in it is written as `<camera>-<time>-<seq>.jpg`, at most one in `every_s` seconds of the frames'
own time and camera, the first one at once. Where the camera tells events, there is a picture of each object instead,
its best, as `<camera>-<time>-event<seq>.jpg` when it is gone. Of the files named so, the newest `max_files` stay;
others are left alone.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl

import cv2
import msgspec

from edgemass.errors import SinkError, UsageError
from edgemass.frame import Frame
from edgemass.imaging.draw import annotate
from edgemass.messages import CameraState, CountsMessage, DetectionMessage, EventMessage, FrameMessage
from edgemass.sinks import SinkContext

logger = logging.getLogger(__name__)

_OURS = re.compile(r".+-\d{8}T\d{9}Z-(event)?\d+\.jpg")
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """every_s: of the frames' own time; 0 = every frame with something in it. quality: of JPEG."""

    every_s: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    max_files: Annotated[int, msgspec.Meta(ge=1)] = 100
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 85


def open(uri: str, context: SinkContext) -> SnapshotSink:  # noqa: A001 (the plug-ins' own word)
    """Make the folder where it is missing, and see that it can be written.

    Raises:
        UsageError: no folder, or an option that does not exist or does not fit.
        SinkError: the folder cannot be written.
    """
    path, options = _read(uri)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".edgemass-{os.getpid()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SinkError(
            f"cannot write snapshots into {path}: {error.strerror}; give a folder that can be written"
        ) from error
    return SnapshotSink(path, options, context)


def check(uri: str) -> None:
    """See `sinks.check`."""
    _read(uri)


def _read(uri: str) -> tuple[Path, Options]:
    folder, _, query = uri.partition(":")[2].partition("?")
    if not folder:
        raise UsageError("snapshots: needs a folder: snapshots:DIR")
    return Path(folder), _options(query)


def _options(query: str) -> Options:
    table = dict(parse_qsl(query, keep_blank_values=True))
    known = Options.__struct_fields__
    for name in table.keys() - set(known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise UsageError(f"snapshots: has no option {name!r}; {hint}")
    try:
        return msgspec.convert(table, Options, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"snapshots: {str(error).replace('`$.', '`')}, found {query!r}") from error


class SnapshotSink:
    """last_path: of the newest picture, None while there is none."""

    def __init__(self, folder: Path, options: Options, context: SinkContext) -> None:
        self.name = f"snapshots:{folder}"
        self.last_path: Path | None = None
        self._folder = folder
        self._options = options
        self._counters = context.counters
        self._lock = threading.Lock()
        self._last_ns: dict[str, int] = {}
        self._telling: set[str] = set()  # cameras that tell events
        self._best: dict[str, bytes] = {}  # event -> its best picture so far
        self._files = sorted(
            (path for path in folder.iterdir() if _OURS.fullmatch(path.name)), key=lambda path: path.stat().st_mtime_ns
        )

    def publish(self, message: FrameMessage, frame: Frame) -> None:
        found = message.detections if isinstance(message, DetectionMessage) else message.classes
        with self._lock:
            if not found or message.camera in self._telling or not self._due(message):
                return
            self._keep(_file_name(message, message.seq), message.camera, lambda: self._jpeg(message, frame))
            self._last_ns[message.camera] = message.mono_ns

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        with self._lock:
            self._telling.add(event.camera)
            if picture is not None:
                self._best[event.id] = picture
            if event.type != "end" or event.id not in self._best:
                return
            best = self._best.pop(event.id)
            self._keep(_file_name(event, f"event{event.seq}"), event.camera, lambda: best)

    def counts(self, counts: CountsMessage) -> None:
        pass

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:  # noqa: ARG002 (the plug-ins' contract)
        if self.last_path is not None:
            logger.info("newest annotated picture: %s", self.last_path)

    def _due(self, message: FrameMessage) -> bool:
        last_ns = self._last_ns.get(message.camera)
        return last_ns is None or message.mono_ns - last_ns >= self._options.every_s * 1e9

    def _keep(self, name: str, camera: str, jpeg: Callable[[], bytes]) -> None:
        path = self._folder / name
        try:
            self._write(path, camera, jpeg())
        except OSError as error:
            self._counters.add("dropped")
            raise SinkError(f"cannot write {path}: {error.strerror}") from error
        self.last_path = path
        self._counters.add("published")
        self._files.append(path)
        self._thin()

    def _jpeg(self, message: FrameMessage, frame: Frame) -> bytes:
        picture = annotate(frame.image, message)
        done, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self._options.quality])
        if not done:
            raise OSError(None, "OpenCV cannot encode this frame as JPEG")
        return jpeg.tobytes()

    def _write(self, path: Path, camera: str, jpeg: bytes) -> None:
        """Whole or not at all for whoever looks into the folder; a power cut may lose the newest pictures."""
        temporary = path.with_name(f".{_safe(camera)}.part")
        try:
            temporary.write_bytes(jpeg)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _thin(self) -> None:
        while len(self._files) > self._options.max_files:
            oldest = self._files.pop(0)
            try:
                oldest.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("cannot delete the old snapshot %s: %s", oldest, error.strerror)


def _safe(name: str) -> str:
    return _UNFIT.sub("_", name)


def _file_name(message: FrameMessage | EventMessage, number: int | str) -> str:
    """door-20261122T101502118Z-41.jpg."""
    return f"{_safe(message.camera)}-{re.sub('[-:.]', '', message.time)}-{number}.jpg"
