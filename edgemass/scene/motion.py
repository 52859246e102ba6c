"""Whether anything moves: cheap enough to be asked of every frame before it is converted, and to spare most of them."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.config.motion import MotionConfig
from edgemass.frame import Frame, Luma

GRID = 160  # cells along the longer side at any resolution: every 8th pixel at 720p, every 12th at 1080p

BACKGROUND_S = 2.0
"""Time constant of the background: long enough for whoever walks slowly, and for light that drifts by 5 steps a second
not to count; short enough that the ghost of someone who stood there and left is gone within 5 s.
"""

JUMP_AREA = 0.5  # of the picture: then it is the light or the view that changed, and a new background is begun
_NS = 1e9


def brightness(frame: Frame) -> Luma:
    """What the gate looks at: the decoder's own brightness, else the green of the picture, which is converted for it.

    Raises:
        SourceError: the picture cannot be converted.
    """
    luma = frame.luma
    return frame.image[:, :, 1] if luma is None else luma


class MotionGate:
    """Compares a thinned-out picture with a background that slowly follows it. Used by one thread."""

    def __init__(self, config: MotionConfig) -> None:
        self._config = config
        self._background: NDArray[np.float32] | None = None
        self._size = (0, 0)
        self._seen_ns = self._passed_ns = self._moved_ns = 0

    def passes(self, luma: Luma, mono_ns: int) -> bool:
        """Whether a frame is worth running.

        It is where something moves, for `linger_s` after that, and every `heartbeat_s` in any case. The first frame,
        one of another size, and a jump of the light count as motion.

        luma: uint8 (height, width) with any strides; only some of its pixels are read, and none is kept.
        mono_ns: the frame's own time.
        """
        if self._moves(luma, mono_ns):
            self._moved_ns = mono_ns
        elif (
            mono_ns - self._moved_ns >= self._config.linger_s * _NS
            and mono_ns - self._passed_ns < self._config.heartbeat_s * _NS
        ):
            return False
        self._passed_ns = mono_ns
        return True

    def forget(self) -> None:
        """Begin a new background: the next frame counts as motion."""
        self._background = None

    def _moves(self, luma: Luma, mono_ns: int) -> bool:
        cells = _thin(luma)
        passed_s = max(mono_ns - self._seen_ns, 0) / _NS
        self._seen_ns = mono_ns
        if self._background is None or self._size != luma.shape:
            self._size = luma.shape
            self._background = cells
            return True
        change = cv2.absdiff(cells, self._background)
        area = float(np.count_nonzero(change > self._config.threshold)) / change.size
        if area >= JUMP_AREA:
            self._background = cells
        else:
            cv2.accumulateWeighted(cells, self._background, 1 - math.exp(-passed_s / BACKGROUND_S))
        return area > 0 and area >= self._config.min_area


def _thin(luma: Luma) -> NDArray[np.float32]:
    """Every so many-th pixel each way, GRID of them along the longer side; smoothed, so that noise of single pixels
    does not count.
    """
    step = max(1, max(luma.shape) // GRID)
    top, left = (min(step, side) // 2 for side in luma.shape)
    cells = np.ascontiguousarray(luma[top::step, left::step])
    return np.asarray(cv2.boxFilter(cells, cv2.CV_32F, (3, 3)), np.float32)
