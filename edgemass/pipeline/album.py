"""The pictures that go with events: of each object its best, sent when it is told of and there is a better one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edgemass.clock import rfc3339
from edgemass.config.scene import EventsConfig
from edgemass.errors import SourceError
from edgemass.frame import Frame, Image
from edgemass.imaging.draw import draw_detections
from edgemass.messages import Detection, SnapshotRef
from edgemass.scene.happening import Box, Happening
from edgemass.scene.objects import SceneObject

MAX_SIDE = 1280  # pixels of a kept picture
MAX_BYTES = 64 << 20  # of all kept pictures of a camera; further objects have none until others are gone
BETTER = 1.15  # times the worth of the picture that is kept, for another one to be worth a copy
MUCH_BETTER = 1.5  # times the worth of the picture that was sent, for another one to be worth sending
_MARGIN = 0.15  # of the box, around a crop
_QUALITIES = (90, 80, 70, 55, 40, 25)
_SHRINK = 0.7
_LEAST_SIDE = 32


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame, and what is published of it."""

    frame: Frame
    detections: Sequence[Detection]


@dataclass(frozen=True, slots=True)
class Picture:
    jpeg: bytes
    ref: SnapshotRef


@dataclass(slots=True)
class _Kept:
    image: Image
    worth: float
    time_ns: int
    sent: float = 0.0


class Album:
    """Pictures of one camera's objects. Used by one thread at a time.

    left_out: objects of which no picture was kept, since there was no room.
    """

    def __init__(self, config: EventsConfig) -> None:
        self._form = config.snapshots
        self._limit = config.snapshot_kb * 1024
        self._kept: dict[int, _Kept] = {}  # by track
        self._bytes = 0
        self.left_out = 0

    def look(self, objects: Iterable[SceneObject], shown: Shown) -> None:
        """Keep what this frame shows better than those before."""
        if self._form == "none":
            return
        frame = shown.frame
        found = {seen.track_id: seen for seen in shown.detections if seen.track_id is not None}
        for thing in objects:
            detection = found.get(thing.track_id)
            kept = self._kept.get(thing.track_id)
            if detection is None or (kept is not None and thing.worth < kept.worth * BETTER):
                continue
            try:
                image = self._picture(frame, detection)
            except SourceError:
                return
            self._put(thing.track_id, _Kept(image, thing.worth, frame.time_ns, 0.0 if kept is None else kept.sent))

    def picture(self, said: Happening) -> Picture | None:
        """What to send with a document of an object; None where that is nothing new."""
        if said.kind != "object":
            return None
        kept = self._kept.get(said.track_id)
        if said.type == "end":
            self._drop(said.track_id)
        if kept is None or kept.worth <= kept.sent * (1.0 if said.type == "end" else MUCH_BETTER):
            return None
        kept.sent = kept.worth
        return encode(kept.image, kept.time_ns, self._limit)

    def now(self, shown: Shown) -> Picture | None:
        """The whole frame as it is, with what was found in it; None where it cannot be converted."""
        try:
            image = draw_detections(shown.frame.image, shown.detections)
        except SourceError:
            return None
        return encode(_scaled(image, MAX_SIDE), shown.frame.time_ns, self._limit)

    def forget(self, living: Iterable[int]) -> None:
        """Drop what is kept of tracks that are no more."""
        for track_id in self._kept.keys() - set(living):
            self._drop(track_id)

    def _picture(self, frame: Frame, detection: Detection) -> Image:
        if self._form == "crop":
            return _crop(frame.image, detection.box)
        return _scaled(draw_detections(frame.image, [detection]), MAX_SIDE)

    def _put(self, track_id: int, kept: _Kept) -> None:
        self._drop(track_id)
        if self._bytes + kept.image.nbytes > MAX_BYTES:
            self.left_out += 1
            return
        self._kept[track_id] = kept
        self._bytes += kept.image.nbytes

    def _drop(self, track_id: int) -> None:
        kept = self._kept.pop(track_id, None)
        if kept is not None:
            self._bytes -= kept.image.nbytes


def encode(image: Image, time_ns: int, limit: int) -> Picture | None:
    """JPEG of at most `limit` bytes: first of lower quality, then smaller; None where even that does not fit.

    time_ns: when it was taken, Unix time.
    """
    while min(image.shape[:2]) >= _LEAST_SIDE or image.size:
        for quality in _QUALITIES:
            done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and jpeg.size <= limit:
                height, width = image.shape[:2]
                return Picture(jpeg.tobytes(), SnapshotRef(width, height, int(jpeg.size), rfc3339(time_ns)))
        if min(image.shape[:2]) < _LEAST_SIDE:
            break
        image = _scaled(image, round(max(image.shape[:2]) * _SHRINK))
    return None


def _scaled(image: Image, side: int) -> Image:
    """At most so many pixels along the longer side; a copy of its own."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image.copy()
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _crop(image: Image, box: Box) -> Image:
    """The box with a margin."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = (x2 - x1) * _MARGIN, (y2 - y1) * _MARGIN
    left, top = max(0, math.floor((x1 - dx) * width)), max(0, math.floor((y1 - dy) * height))
    right, bottom = min(width, math.ceil((x2 + dx) * width)), min(height, math.ceil((y2 + dy) * height))
    return _scaled(image[top : max(bottom, top + 1), left : max(right, left + 1)], MAX_SIDE)
