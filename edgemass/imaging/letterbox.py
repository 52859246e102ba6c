"""Where a frame lies inside the model's picture, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgemass.manifest import MAX_SIDE, InputSpec, Resize
from edgemass.tensors import FloatArray


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Model pixel = frame pixel * scale + offset, per axis, for every resize rule.

    width, height: of the model's picture. scaled_width, scaled_height: of the frame once resized.
    offset_x, offset_y: where its left top corner then lies; negative where a crop cuts it off.
    """

    frame_width: int
    frame_height: int
    width: int
    height: int
    scaled_width: int
    scaled_height: int
    offset_x: int
    offset_y: int

    @property
    def scale_x(self) -> float:
        return self.scaled_width / self.frame_width

    @property
    def scale_y(self) -> float:
        return self.scaled_height / self.frame_height

    def to_frame(self, xyxy: FloatArray) -> FloatArray:
        """Boxes (n, 4) of the model's picture in frame pixels, clipped to the frame."""
        offset, scale, limit = _columns(self)
        boxes = xyxy - offset
        boxes /= scale
        np.maximum(boxes, 0, out=boxes)
        return np.asarray(np.minimum(boxes, limit, out=boxes), np.float32)


@lru_cache(maxsize=64)
def _columns(box: Letterbox) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Offset, scale and the frame's size for the columns x1, y1, x2, y2; made once for each placement."""
    return (
        np.array([box.offset_x, box.offset_y] * 2, np.float32),
        np.array([box.scale_x, box.scale_y] * 2, np.float32),
        np.array([box.frame_width, box.frame_height] * 2, np.float32),
    )


def place(frame_width: int, frame_height: int, spec: InputSpec) -> Letterbox:
    """Lay a frame of the given size into the model's picture by the manifest's resize rule."""
    resize = spec.resize
    if resize.rule == "shortest-edge":
        return _shortest_edge(frame_width, frame_height, resize)
    assert spec.width is not None
    assert spec.height is not None
    width, height = spec.width, spec.height
    if resize.rule == "stretch":
        scaled = (width, height)
        offset = (0, 0)
    elif resize.rule == "center-crop":
        assert resize.short_side is not None
        factor = resize.short_side / min(frame_width, frame_height)
        scaled = (max(width, round(frame_width * factor)), max(height, round(frame_height * factor)))
        offset = (-((scaled[0] - width) // 2), -((scaled[1] - height) // 2))
    else:
        factor = min(width / frame_width, height / frame_height)
        scaled = (max(1, round(frame_width * factor)), max(1, round(frame_height * factor)))
        centred = resize.rule == "letterbox"
        offset = ((width - scaled[0]) // 2, (height - scaled[1]) // 2) if centred else (0, 0)
    return Letterbox(frame_width, frame_height, width, height, *scaled, *offset)


def _shortest_edge(frame_width: int, frame_height: int, resize: Resize) -> Letterbox:
    assert resize.short_side is not None
    long_side = MAX_SIDE if resize.long_side is None else resize.long_side  # a frame of one row has no end
    factor = min(resize.short_side / min(frame_width, frame_height), long_side / max(frame_width, frame_height))
    scaled = (max(1, round(frame_width * factor)), max(1, round(frame_height * factor)))
    width, height = (-(-side // resize.multiple) * resize.multiple for side in scaled)
    return Letterbox(frame_width, frame_height, width, height, *scaled, 0, 0)
