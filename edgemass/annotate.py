"""A video with everything drawn that edgemass sees in it: boxes, tracks, zones, lines, counts."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.config import CameraConfig
from edgemass.config.explaining import nearest
from edgemass.counters import Counters
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Thresholds
from edgemass.errors import ConfigError, SourceError, UsageError
from edgemass.frame import Frame, Image
from edgemass.imaging.draw import draw_classes
from edgemass.imaging.orient import Orientation
from edgemass.imaging.overlay import draw_scene
from edgemass.manifest import Manifest
from edgemass.messages import ClassScore, Detection
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.film import Film, file_format
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.showing import overlay
from edgemass.scene.happening import Counts
from edgemass.scene.scene import Observation, Scene, usable_score
from edgemass.sources import CaptureOptions, Countable, Source

Progress = Callable[[int, int], None]
"""Called with (done, total); total is 0 where nobody knows."""

TOP_CLASSES = 3
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """What was written. seconds: of the video, from its first frame to its last. took_s: to make it.

    things: by label, how many came into view. lines: name -> crossings in and out. stopped: before the end.
    """

    frames: int
    seconds: float
    took_s: float
    width: int
    height: int
    encoder: str
    size_bytes: int
    things: dict[str, int]
    lines: dict[str, tuple[int, int]]
    stopped: bool


def open_source(address: str, camera: CameraConfig, target: Path, *, frames: int | None) -> Source:
    """The video, once it is sure that the output can be what was asked for.

    Raises:
        UsageError: the output is the input, its folder is not there, or its name tells no format; or the source goes on
            for ever.
        SourceNotFoundError: the video is not there.
    """
    if sources.scheme(address) in sources.GIVE_TEXTS:
        raise UsageError(f"{address} gives texts; wanted a video or pictures")
    file_format(target)
    if target.is_dir():
        raise UsageError(f"{target} is a folder; wanted the name of a file")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}; make it, or write somewhere else")
    source = sources.open(address, CaptureOptions(fps=camera.fps), SystemClock())
    if target.exists() and Path(source.name).exists() and target.samefile(source.name):
        raise UsageError(f"{target} is the video itself; give another name with -o")
    if source.live and frames is None:
        raise UsageError(f"{source.name} has no end; say how many frames with --frames N")
    return source


def annotate(
    source: Source,
    target: Path,
    detector: Detector,
    camera: CameraConfig,
    *,
    frames: int | None,
    stop: threading.Event,
    progress: Progress,
) -> Annotated:
    """Write the annotated video. Ends early, with what is done, when `stop` is set.

    camera: its rotation, crop, masks, score, max_fps, tracking, events, zones and lines count; where max_fps leaves
        frames out, the video has those that are left.
    frames: at most so many.

    Raises:
        ConfigError: the camera names a label that the model does not have, or asks for what this is not.
        BackendError: the model cannot be run.
        SourceError: there is nothing to write.
        OSError: the output cannot be written.
    """
    artist = _Artist(detector, camera)
    started = time.monotonic()
    film: Film | None = None
    total = frames_to_come(source, camera, frames)
    pictures = _frames(source, camera, stop)
    try:
        for frame in pictures:
            image = artist.draw(frame)
            if film is None:
                film = Film(target, width=frame.width, height=frame.height)
            film.add(image, frame.mono_ns)
            progress(film.frames, total)
            if film.frames == frames:
                break
    except BaseException:
        if film is not None:
            film.discard()
        raise
    finally:
        pictures.close()
    if film is None:
        raise SourceError(f"{source.name} gave no frames; nothing was written")
    return Annotated(
        frames=film.frames,
        seconds=film.duration_s,
        size_bytes=film.close(),
        took_s=time.monotonic() - started,
        width=film.width,
        height=film.height,
        encoder=film.encoder,
        things=artist.things,
        lines=artist.lines,
        stopped=stop.is_set(),
    )


def frames_to_come(source: Source, camera: CameraConfig, frames: int | None) -> int:
    """About how many frames there will be; 0 where nobody knows."""
    count, fps = source.count() if isinstance(source, Countable) else (0, 0.0)
    if count and camera.max_fps is not None and 0 < camera.max_fps < fps:
        count = max(1, round(count * camera.max_fps / fps))
    return min(count or frames or 0, frames or count)


def _frames(source: Source, camera: CameraConfig, stop: threading.Event) -> Generator[Frame, None, None]:
    """Those that are to be drawn, read ahead by a thread of its own.

    Raises:
        SourceError: the source broke.
    """
    clock = SystemClock()
    selection = Selection(max_fps=camera.max_fps, gate=None)
    capture = Capture(
        "annotate",
        source,
        clock=clock,
        counters=Counters(),
        orientation=Orientation(camera.rotate, camera.crop, camera.masks),
        convert_ahead=camera.max_fps is None,
    )
    capture.start()
    try:
        while not stop.is_set():
            frame = capture.slot.get(_POLL_S)
            if frame is None:
                if capture.slot.closed:
                    break
                continue
            if selection.refuses(frame) is None:
                selection.ran(frame)
                yield frame
    finally:
        capture.stop()
    if capture.error is not None:
        raise capture.error


class _Artist:
    """Detects in one frame after the other and draws what is known of the scene.

    things: by label, how many came into view.
    """

    def __init__(self, detector: Detector, camera: CameraConfig) -> None:
        manifest = detector.manifest
        _check(camera, manifest)
        self.things: dict[str, int] = {}
        self._camera = camera
        self._labels = manifest.labels
        self._stream = detector.stream()
        self._shown = np.array([camera.score_of(label, manifest.score) for label in self._labels], np.float32)
        self._scene: Scene | None = None
        self._counts: Counts | None = None
        self._seen: set[int] = set()
        if manifest.task == "detection":
            self._scene = Scene(camera, self._labels, score=manifest.score)
            least = min(usable_score(camera, self._labels, manifest.score), float(self._shown.min()))
            self._thresholds = Thresholds(least)
        else:
            self._thresholds = Thresholds(float(self._shown.min()), max_detections=TOP_CLASSES)

    @property
    def lines(self) -> dict[str, tuple[int, int]]:
        """By name: crossings in and out."""
        totals = self._scene.totals if self._scene is not None else {}
        return {name: (sum(total["in"].values()), sum(total["out"].values())) for name, total in totals.items()}

    def draw(self, frame: Frame) -> Image:
        """The frame with what is in it.

        Raises:
            BackendError: the runtime failed.
        """
        found = self._stream.detect(frame.image, self._thresholds).found
        if isinstance(found, Classification):
            return draw_classes(frame.image, self._classes(found))
        assert self._scene is not None
        size = np.array([frame.width, frame.height] * 2, np.float64)
        places = Detections(np.clip(found.xyxy / size, 0, 1).astype(np.float32), found.score, found.class_id)
        observation = self._scene.observe(places, frame.mono_ns, aspect=frame.width / frame.height)
        self._counts = observation.counts or self._counts
        for thing in observation.objects:
            if thing.track_id not in self._seen:
                self._seen.add(thing.track_id)
                self.things[thing.label] = self.things.get(thing.label, 0) + 1
        boxes = self._boxes(places, observation)
        shown = overlay(self._camera, observation.objects, self._counts, self._scene.totals, boxes=boxes)
        return draw_scene(frame.image, boxes, shown)

    def _boxes(self, found: Detections, observation: Observation) -> list[Detection]:
        """What is believed, and what is sure enough to be shown by itself."""
        believed = {thing.row: thing for thing in observation.objects if thing.row >= 0}
        boxes = []
        rows = zip(found.class_id.tolist(), found.score.tolist(), found.xyxy.tolist(), strict=True)
        for row, (class_id, score, box) in enumerate(rows):
            thing = believed.get(row)
            if thing is not None:
                boxes.append(Detection(thing.label, thing.class_id, score, tuple(box), thing.track_id))
            elif score > self._shown[class_id]:
                boxes.append(Detection(self._labels[class_id], class_id, score, tuple(box)))
        return boxes

    def _classes(self, found: Classification) -> list[ClassScore]:
        columns = zip(found.class_id[:TOP_CLASSES].tolist(), found.score[:TOP_CLASSES].tolist(), strict=True)
        return [ClassScore(self._labels[class_id], class_id, score) for class_id, score in columns]


def _check(camera: CameraConfig, manifest: Manifest) -> None:
    if manifest.input.text is not None:
        raise UsageError(f"{manifest.name} reads texts; give a model that looks at pictures")
    if camera.counts_only:
        raise ConfigError("privacy = counts-only: no picture of this camera may be drawn; use another configuration")
    if (camera.zones or camera.lines) and manifest.task != "detection":
        raise ConfigError(f"zones and lines need a model that finds boxes, {manifest.name} does {manifest.task}")
    for key, label in camera.named_labels():
        if label not in manifest.labels:
            raise ConfigError(
                f"{key} names {label!r}, which {manifest.name} does not know{nearest(label, manifest.labels)}"
            )


def threads() -> int:
    """For the runtime: one core is left for decoding and encoding."""
    return max(1, len(os.sched_getaffinity(0)) - 1)
