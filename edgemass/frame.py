"""One picture and when it was taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 (height, width, 3), BGR, as OpenCV has it."""


class Frame:
    """One picture of one source, converted to BGR only when somebody looks at it.

    A decoder hands over a function instead of pixels, so that a live frame that is dropped costs no conversion.

    mono_ns: the frame's own time on the monotonic clock: arrival for a live source, for a file the start of the run +
        presentation time. Trackers, dwell times and rules use this one.
    time_ns: the same instant as Unix time.
    arrived_ns: monotonic time at which the frame came out of the source; latencies count from here.
    """

    __slots__ = ("_image", "_load", "arrived_ns", "height", "mono_ns", "time_ns", "width")

    def __init__(
        self,
        load: Callable[[], Image],
        *,
        width: int,
        height: int,
        mono_ns: int,
        time_ns: int,
        arrived_ns: int,
    ) -> None:
        self._load: Callable[[], Image] | None = load
        self._image: Image | None = None
        self.width = width
        self.height = height
        self.mono_ns = mono_ns
        self.time_ns = time_ns
        self.arrived_ns = arrived_ns

    @property
    def image(self) -> Image:
        """BGR pixels (height, width, 3); read-only by agreement, since sinks and detector share it."""
        if self._image is None:
            assert self._load is not None
            image = self._load()
            if image.shape != (self.height, self.width, 3):
                raise ValueError(f"image must have shape ({self.height}, {self.width}, 3), got {image.shape}")
            self._image = image
            self._load = None  # lets go of the decoder's buffer
        return self._image

    def transformed(self, change: Callable[[Image], Image], *, width: int, height: int) -> Frame:
        """The same instant with its pixels changed (cropped, rotated) when they are first looked at."""
        return Frame(
            lambda: change(self.image),
            width=width,
            height=height,
            mono_ns=self.mono_ns,
            time_ns=self.time_ns,
            arrived_ns=self.arrived_ns,
        )
