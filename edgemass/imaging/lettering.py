"""Small text on pictures: OpenCV's strokes, drawn large and made small, which is far crisper than drawn small.

What is written often is kept, since a live picture says mostly the same from one frame to the next.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.frame import Image

Colour = tuple[int, int, int]
"""Blue, green, red."""
Alpha = NDArray[np.uint8]
"""uint8 (height, width): 0 = nothing is seen, 255 = all of it."""
Pixels = NDArray[np.uint8]
"""uint8 (..., 3)."""

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_OVER = 4  # times as large as it is drawn
_CAPITAL = 22  # pixels of a capital letter at scale 1
_LONGEST = 60  # characters; a label beyond is no help
_UNPRINTABLE = "?"  # OpenCV's Hershey fonts have ASCII only
_KEPT = 512


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A small picture to be pasted. image: (height, width, 3); alpha: how much of it is seen."""

    image: Image
    alpha: Alpha

    @property
    def width(self) -> int:
        return int(self.alpha.shape[1])

    @property
    def height(self) -> int:
        return int(self.alpha.shape[0])


def line_height(width: int, height: int) -> int:
    """Pixels of a line of text in a picture of this size: 10 in 160 x 120, 15 in 640 x 480, 31 in 1080p."""
    return max(10, round(15 * scale(width, height)))


def scale(width: int, height: int) -> float:
    """How much larger marks are drawn than at 640 x 480; they grow more slowly than the picture."""
    return float((width * height / (640 * 480)) ** 0.375)


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever stands out; weights of luma in ITU-R BT.601."""
    blue, green, red = ground
    return BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else WHITE


@lru_cache(maxsize=_KEPT)
def tag(text: str, line: int, ground: Colour, opacity: float = 1.0) -> Sprite:
    """Text on a rounded ground of its own. line: pixels of a line of text. opacity: of the ground."""
    letters = lettering(text, line)
    side = max(2, line // 4)
    height, width = line + max(1, line // 8), letters.shape[1] + 2 * side
    top = (height - line) // 2
    image = np.empty((height, width, 3), np.uint8)
    image[:] = ground
    alpha = rounded(width, height, round(opacity * 255), radius=line // 4).copy()
    place = slice(top, top + line), slice(side, side + letters.shape[1])
    image[place] = blend(image[place], ink_on(ground), letters)
    np.maximum(alpha[place], letters, out=alpha[place])
    return Sprite(image, alpha)


def lettering(text: str, line: int) -> Alpha:
    """The strokes of a text, in a line of so many pixels; at least a pixel wide.

    It is put together of words: these come again from one frame to the next where the whole of it does not.
    """
    words = [_word(word, line) for word in printable(text).split(" ")]
    space = np.zeros((line, max(1, round(line * 0.3))), np.uint8)
    parts = [part for word in words for part in (space, word)][1:]
    return np.concatenate(parts, axis=1)


@lru_cache(maxsize=2 * _KEPT)
def _word(text: str, line: int) -> Alpha:
    size = line * 0.56 * _OVER / _CAPITAL
    pen = max(1, round(line * 0.085 * _OVER))
    (width, _), _ = cv2.getTextSize(text, _FONT, size, pen)
    columns = max(1, -(-(width + pen) // _OVER))
    large = np.zeros((line * _OVER, columns * _OVER), np.uint8)
    cv2.putText(large, text, (pen // 2, round(line * 0.77 * _OVER)), _FONT, size, 255, pen, cv2.LINE_AA)
    return np.asarray(cv2.resize(large, (columns, line), interpolation=cv2.INTER_AREA), np.uint8)


def printable(text: str) -> str:
    """What the strokes can show of it: letters lose their accents, what is then not ASCII is a question mark."""
    plain = "".join(mark for mark in unicodedata.normalize("NFKD", text) if not unicodedata.combining(mark))
    shown = "".join(mark if " " <= mark <= "~" else _UNPRINTABLE for mark in plain)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


@lru_cache(maxsize=_KEPT)
def rounded(width: int, height: int, value: int, *, radius: int) -> Alpha:
    """A filled rectangle of this alpha with round corners; to be read only, since it is kept."""
    radius = max(0, min(radius, width // 2, height // 2))
    large = np.zeros((height * _OVER, width * _OVER), np.uint8)
    right, bottom, corner = width * _OVER - 1, height * _OVER - 1, radius * _OVER
    cv2.rectangle(large, (corner, 0), (right - corner, bottom), value, cv2.FILLED)
    cv2.rectangle(large, (0, corner), (right, bottom - corner), value, cv2.FILLED)
    for x in (corner, right - corner):
        for y in (corner, bottom - corner):
            cv2.circle(large, (x, y), corner, value, cv2.FILLED)
    return np.asarray(cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def paste(image: Image, sprite: Sprite, left: int, top: int) -> None:
    """Lay it over a picture; what stands over the border is cut off."""
    x1, y1 = max(0, left), max(0, top)
    x2, y2 = min(image.shape[1], left + sprite.width), min(image.shape[0], top + sprite.height)
    if x1 >= x2 or y1 >= y2:
        return
    part = slice(y1 - top, y2 - top), slice(x1 - left, x2 - left)
    image[y1:y2, x1:x2] = blend(image[y1:y2, x1:x2], sprite.image[part], sprite.alpha[part])


def blend(ground: Pixels, over: Pixels | Colour, alpha: Alpha) -> Pixels:
    """What is seen where a picture, or a colour, lies over another one. (..., 3) and (...)."""
    weight = (alpha + (alpha >> 7).astype(np.uint16))[..., None]  # 0 to 256, so that a shift divides by it
    mixed = ground * (256 - weight) + np.asarray(over, np.uint16) * weight
    return np.asarray(mixed >> 8, np.uint8)
