"""One picture and when it was taken."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""uint8 (height, width, 3), BGR, as OpenCV has it."""

Luma = NDArray[np.uint8]
"""uint8 (height, width): how bright each pixel is; may be a view with any strides, and is only read."""


class Frame:
    """One picture of one source, converted to BGR only when somebody looks at it.

    A decoder hands over a function instead of pixels, so that a live frame that is dropped costs no conversion.

    mono_ns: the frame's own time on the monotonic clock: arrival for a live source, for a file the start of the run +
        presentation time. Trackers, dwell times and rules use this one.
    time_ns: the same instant as Unix time.
    arrived_ns: monotonic time at which the frame came out of the source; latencies count from here.
    look: gives the brightness without a conversion, where the decoder has it lying there; None = it does not, for this
        picture or any.
    """

    __slots__ = ("_image", "_load", "_look", "arrived_ns", "height", "mono_ns", "time_ns", "width")

    def __init__(
        self,
        load: Callable[[], Image],
        *,
        width: int,
        height: int,
        mono_ns: int,
        time_ns: int,
        arrived_ns: int,
        look: Callable[[], Luma | None] | None = None,
    ) -> None:
        self._load: Callable[[], Image] | None = load
        self._look = look
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
            self._load = self._look = None  # lets go of the decoder's buffer
        return self._image

    @property
    def luma(self) -> Luma | None:
        """Brightness (height, width), as a view over the decoder's buffer: to be used at once, not kept.

        None where it would cost a conversion, and once `image` has been looked at.
        """
        return self._look() if self._look is not None else None

    def convert(self) -> None:
        """Convert now rather than when somebody looks at `image`.

        Raises:
            SourceError: it cannot be; looking at `image` will say so again.
        """
        _ = self.image

    def transformed(
        self, change: Callable[[Image], Image], *, width: int, height: int, view: Callable[[Luma], Luma] | None = None
    ) -> Frame:
        """The same instant with its pixels changed (cropped, rotated) when they are first looked at.

        view: does the same to brightness without copying it; None = the frame made has no `luma`.
        """

        def look() -> Luma | None:
            luma = self.luma
            return None if luma is None or view is None else view(luma)

        return Frame(
            lambda: change(self.image),
            width=width,
            height=height,
            mono_ns=self.mono_ns,
            time_ns=self.time_ns,
            arrived_ns=self.arrived_ns,
            look=look,
        )
