"""Crop, rotation and masks of a camera that hangs askew or sees too much."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgemass.frame import Image, Luma

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


_BRIM = 3  # pixels of a mask's outline: what its sides touch, rounding included


@dataclass(frozen=True)
class Orientation:
    """What is done to every picture of a camera: crop first, then rotate, then blacken what nobody may see.

    rotate: degrees clockwise: 0, 90, 180 or 270.
    crop: x1, y1, x2, y2 as fractions of the picture before rotation, or None.
    masks: polygons of (x, y) as fractions of the picture after crop and rotation.
    """

    rotate: int = 0
    crop: tuple[float, float, float, float] | None = None
    masks: tuple[tuple[tuple[float, float], ...], ...] = ()

    def __post_init__(self) -> None:
        if self.rotate not in (0, *_ROTATIONS):
            raise ValueError(f"rotate must be 0, 90, 180 or 270 degrees, got {self.rotate}")
        if self.crop is not None:
            x1, y1, x2, y2 = self.crop
            if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
                raise ValueError(f"crop must be x1, y1, x2, y2 with 0 <= x1 < x2 <= 1 and y alike, got {self.crop}")

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self.rotate != 0 or self.crop is not None or bool(self.masks)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of what `apply` makes of a picture of this size."""
        left, top, right, bottom = self._box(width, height)
        size = right - left, bottom - top
        return size if self.rotate in (0, 180) else (size[1], size[0])

    def apply(self, image: Image) -> Image:
        """The picture cropped, rotated and masked; a mere crop is a view."""
        left, top, right, bottom = self._box(image.shape[1], image.shape[0])
        image = image[top:bottom, left:right]
        if self.rotate:
            image = np.asarray(cv2.rotate(image, _ROTATIONS[self.rotate]), np.uint8)
        return self._masked(image) if self.masks else image

    def _masked(self, image: Image) -> Image:
        """A copy with everything black that a mask touches; the picture that came in is another's too."""
        height, width = image.shape[:2]
        covered: Image = image.copy()
        for mask in self.masks:  # one by one: where two lie over each other, fillPoly would leave a hole
            corners = np.array(mask, np.float64) * (width, height) - 0.5  # of pixels, whose centres are whole numbers
            polygon = np.rint(corners).astype(np.int32)
            cv2.fillPoly(covered, [polygon], (0, 0, 0))
            cv2.polylines(covered, [polygon], True, (0, 0, 0), _BRIM)  # noqa: FBT003 (OpenCV's own: closed)
        return covered

    def view(self, luma: Luma) -> Luma:
        """Brightness cropped and rotated, without copying a pixel; masks are not applied to it."""
        if self.crop is not None:
            left, top, right, bottom = self._box(luma.shape[1], luma.shape[0])
            luma = luma[top:bottom, left:right]
        return np.rot90(luma, -self.rotate // 90) if self.rotate else luma

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """left, top, right, bottom in whole pixels, at least one each way."""
        if self.crop is None:
            return 0, 0, width, height
        x1, y1, x2, y2 = self.crop
        left, top = min(round(x1 * width), width - 1), min(round(y1 * height), height - 1)
        return left, top, max(round(x2 * width), left + 1), max(round(y2 * height), top + 1)
