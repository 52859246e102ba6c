"""Decoded pictures kept in memory, so that an epoch does not decode them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgemass.errors import UsageError
from edgemass.frame import Image

MOST_BYTES = 3_000_000_000


class Pictures:
    """Pictures by number.

    paths: of all of them. Beyond MOST_BYTES a picture is decoded whenever it is asked for.
    longest: pixels of the longer side, larger ones are made smaller once; None = as they are stored.
    """

    def __init__(self, paths: Sequence[Path], *, longest: int | None = None) -> None:
        self._paths = paths
        self._longest = longest
        self._left = MOST_BYTES
        self._kept: dict[int, Image] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> Image:
        """BGR (h, w, 3) uint8, not to be written to.

        Raises:
            UsageError: it cannot be read as a picture.
        """
        if number in self._kept:
            return self._kept[number]
        image = self._read(self._paths[number])
        if image.nbytes <= self._left:
            self._left -= image.nbytes
            self._kept[number] = image
        return image

    def _read(self, path: Path) -> Image:
        image: Any = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise UsageError(f"{path} cannot be read as a picture; replace it or take it out of the annotations")
        side = max(image.shape[:2])
        if self._longest is not None and side > self._longest:
            ratio = self._longest / side
            image = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8)
