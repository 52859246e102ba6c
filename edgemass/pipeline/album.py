"""The pictures that go with events: of each object its best, sent when it is told of and there is a better one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
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
MAX_BYTES = 64 << 20  # of all kept pictures of a camera; others have none until these are sent or gone
BETTER = 1.15  # times the worth of the picture that is kept, for another one to be worth a copy
MUCH_BETTER = 1.5  # times the worth of the picture that was sent, for another one to be worth sending
_MARGIN = 0.15  # of the box, around a crop
_QUALITIES = (85, 70, 50)  # below, fewer pixels look better than worse ones
_SHRINK = 0.85  # at most, of the sides
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
    """image: None once it was sent. box: of the object in it, None where it is cut out.

    worth: of the best picture so far; sent: of the last one that was sent.
    """

    image: Image | None
    box: Detection | None
    worth: float
    time_ns: int
    sent: float = 0.0


class Album:
    """Pictures of one camera's objects. Used by one thread at a time.

    left_out: how often a picture was not kept, since there was no room.
    """

    def __init__(self, config: EventsConfig) -> None:
        self._form = config.snapshots
        self._limit = config.snapshot_kb * 1024
        self._kept: dict[int, _Kept] = {}  # by track
        self._absent: set[int] = set()
        self._holders: Counter[int] = Counter()  # of each picture, by its id
        self._bytes = 0
        self.left_out = 0

    @property
    def size_bytes(self) -> int:
        """Of what is kept."""
        return self._bytes

    def look(self, objects: Sequence[SceneObject], shown: Shown) -> None:
        """Keep what this frame shows better than those before, of objects that have an event.

        objects: all that are believed; what is missing among them for two frames is forgotten.
        """
        if self._form == "none":
            return
        self._forget({thing.track_id for thing in objects})
        found = {seen.track_id: seen for seen in shown.detections if seen.track_id is not None}
        whole: Image | None = None  # of this frame; objects that look best in it share it
        for thing in objects:
            detection = found.get(thing.track_id)
            kept = self._kept.get(thing.track_id)
            if detection is None or not thing.number or (kept is not None and thing.worth < kept.worth * BETTER):
                continue
            if self._bytes >= MAX_BYTES:
                self.left_out += 1
                continue
            try:
                if self._form == "crop":
                    image, box = _crop(shown.frame.image, detection.box), None
                else:
                    whole = _scaled(shown.frame.image, MAX_SIDE) if whole is None else whole
                    image, box = whole, detection
            except SourceError:
                return
            sent = 0.0 if kept is None else kept.sent
            self._put(thing.track_id, _Kept(image, box, thing.worth, shown.frame.time_ns, sent))

    def picture(self, said: Happening) -> Picture | None:
        """What to send with a document of an object; None where that is nothing new."""
        if said.kind != "object":
            return None
        last = said.type == "end"
        kept = self._kept.get(said.track_id)
        if kept is None:
            return None
        image, news = kept.image, kept.worth > kept.sent * (1.0 if last else MUCH_BETTER)
        if last:
            self._drop(said.track_id)
        if image is None or not news:
            return None
        kept.sent = kept.worth
        self._empty(kept)
        return encode(image if kept.box is None else draw_detections(image, [kept.box]), kept.time_ns, self._limit)

    def now(self, shown: Shown) -> Picture | None:
        """The whole frame as it is, with what was found in it; None where it cannot be converted."""
        try:
            image = draw_detections(shown.frame.image, shown.detections)
        except SourceError:
            return None
        return encode(_scaled(image, MAX_SIDE), shown.frame.time_ns, self._limit)

    def clear(self) -> None:
        """Keep nothing."""
        for track_id in list(self._kept):
            self._drop(track_id)
        self._absent.clear()

    def _forget(self, living: set[int]) -> None:
        """Drop what is kept of tracks that are no more; a frame late, since their end is told after `look`."""
        absent = self._kept.keys() - living
        for track_id in absent & self._absent:
            self._drop(track_id)
        self._absent = set(absent)

    def _put(self, track_id: int, kept: _Kept) -> None:
        assert kept.image is not None
        self._drop(track_id)
        self._kept[track_id] = kept
        if not self._holders[id(kept.image)]:
            self._bytes += kept.image.nbytes
        self._holders[id(kept.image)] += 1

    def _drop(self, track_id: int) -> None:
        kept = self._kept.pop(track_id, None)
        if kept is not None:
            self._empty(kept)

    def _empty(self, kept: _Kept) -> None:
        if kept.image is None:
            return
        self._holders[id(kept.image)] -= 1
        if not self._holders[id(kept.image)]:
            del self._holders[id(kept.image)]
            self._bytes -= kept.image.nbytes
        kept.image = None


def encode(image: Image, time_ns: int, limit: int) -> Picture | None:
    """JPEG of at most `limit` bytes: first of lower quality, then smaller; None where even that does not fit.

    time_ns: when it was taken, Unix time.
    """
    while True:
        for quality in _QUALITIES:
            done, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if not done:
                return None
            if jpeg.size <= limit:
                height, width = image.shape[:2]
                return Picture(jpeg.tobytes(), SnapshotRef(width, height, int(jpeg.size), rfc3339(time_ns)))
        if max(image.shape[:2]) <= _LEAST_SIDE:
            return None
        shrink = min(_SHRINK, 0.95 * math.sqrt(limit / jpeg.size))  # bytes go nearly with the pixels
        image = _scaled(image, max(_LEAST_SIDE, int(max(image.shape[:2]) * shrink)))


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
