"""A camera's frame as the live view shows it: scaled down, with all that is known of the scene."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from edgemass.config.camera import CameraConfig
from edgemass.frame import Frame, Image
from edgemass.imaging.draw import draw_classes
from edgemass.imaging.overlay import Overlay, Point, draw_scene
from edgemass.messages import CameraState, ClassificationMessage, CountsMessage, DetectionMessage, FrameMessage
from edgemass.pipeline.showing import overlay
from edgemass.scene.crossings import Totals
from edgemass.scene.happening import Counts
from edgemass.scene.objects import TAIL_POINTS

MAX_TAILS = 256


@dataclass
class _Followed:
    """A track, and where its feet were in the pictures so far."""

    track_id: int
    tail: deque[Point] = field(default_factory=lambda: deque(maxlen=TAIL_POINTS))


class Artist:
    """Of one camera. Used by one thread at a time.

    counts, state: the newest that were told. width: pixels at most. quality: of JPEG.
    """

    def __init__(
        self,
        camera: CameraConfig,
        *,
        counts: Callable[[], CountsMessage | None],
        state: Callable[[], CameraState | None],
        width: int,
        quality: int,
    ) -> None:
        self._camera = camera
        self._counts = counts
        self._state = state
        self._width = width
        self._quality = quality
        self._followed: OrderedDict[int, _Followed] = OrderedDict()
        self._digest = ""

    def draw(self, message: FrameMessage, frame: Frame) -> bytes:
        """JPEG of the frame with what its document says.

        Raises:
            SourceError: the frame cannot be converted.
            ValueError: it cannot be encoded.
        """
        image = _at_most(frame.image, self._width)
        if isinstance(message, ClassificationMessage):
            drawn = draw_classes(image, message.classes)
        else:
            drawn = draw_scene(image, message.detections, self._overlay(message))
        done, jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        if not done:
            raise ValueError(f"OpenCV cannot encode {drawn.shape[1]} x {drawn.shape[0]} pixels as JPEG")
        return jpeg.tobytes()

    def _overlay(self, message: DetectionMessage) -> Overlay:
        self._follow(message)
        told, state = self._counts(), self._state()
        counts = Counts(told.available, told.labels, told.zones, {}) if told is not None else None
        totals: Totals = {}
        if told is not None:
            totals = {name: {"in": ways.in_, "out": ways.out} for name, ways in told.lines.items()}
        banner = f"blind: {state.reason.partition(':')[0]}" if state is not None and state.state == "blind" else ""
        return overlay(
            self._camera, list(self._followed.values()), counts, totals, boxes=message.detections, banner=banner
        )

    def _follow(self, message: DetectionMessage) -> None:
        if message.model.digest != self._digest:  # another model's tracks are numbered from 1 again
            self._digest = message.model.digest
            self._followed.clear()
        for found in message.detections:
            if found.track_id is None:
                continue
            track = self._followed.setdefault(found.track_id, _Followed(found.track_id))
            self._followed.move_to_end(found.track_id)
            x1, _, x2, y2 = found.box
            track.tail.append(((x1 + x2) / 2, y2))
        while len(self._followed) > MAX_TAILS:
            self._followed.popitem(last=False)


def _at_most(image: Image, width: int) -> Image:
    """No wider than that; the image itself where it is not, since drawing makes a copy."""
    if image.shape[1] <= width:
        return image
    size = width, max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
