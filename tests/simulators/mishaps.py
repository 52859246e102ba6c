"""What happens to cameras: transforms of brightness over time, and things that are no mishap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
Mishap = Callable[[Floats, float], Floats]
"""A picture's brightness (height, width) and the seconds since it began -> what the camera gives."""

LOOKS_A_SECOND = 2
NS = 1_000_000_000


def thinned(clip: Path) -> list[Grey]:
    """Brightness of a clip, two pictures a second."""
    pictures: list[Grey] = []
    with av.open(str(clip)) as container:
        next_s = 0.0
        for picture in container.decode(video=0):
            if picture.time >= next_s:
                pictures.append(np.asarray(picture.to_ndarray(format="gray"), np.uint8))
                next_s += 1 / LOOKS_A_SECOND
    return pictures


def noisy(picture: Floats, sigma: float, rng: np.random.Generator) -> Grey:
    grains = rng.normal(0.0, sigma, picture.shape).astype(np.float32) if sigma else np.float32(0)
    return np.asarray(np.clip(np.rint(picture + grains), 0, 255), np.uint8)


def loop(pictures: Sequence[Grey], seconds: float) -> Iterator[tuple[int, Floats]]:
    """Time and picture, over and over, seam and all."""
    for index in range(round(seconds * LOOKS_A_SECOND)):
        yield index * NS // LOOKS_A_SECOND, pictures[index % len(pictures)].astype(np.float32)


def cloth(level: float) -> Mishap:
    return lambda picture, _: np.full_like(picture, level)


def veil(share: float, level: float) -> Mishap:
    return lambda picture, _: picture * np.float32(1 - share) + np.float32(level)


def drawn_over_s(mishap: Mishap, seconds: float) -> Mishap:
    """From the left, within so long."""

    def draw(picture: Floats, at_s: float) -> Floats:
        edge = round(picture.shape[1] * min(at_s / seconds, 1.0))
        covered = picture.copy()
        covered[:, :edge] = mishap(picture, at_s)[:, :edge]
        return covered

    return draw


def blur(sigma_of_width: float) -> Mishap:
    return lambda picture, _: np.asarray(
        cv2.GaussianBlur(picture, (0, 0), sigma_of_width * picture.shape[1]), np.float32
    )


def moved(dx: float, dy: float, degrees: float = 0.0, zoom: float = 1.0) -> Mishap:
    """dx, dy: as fractions of the picture."""

    def move(picture: Floats, _: float) -> Floats:
        height, width = picture.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        matrix[:, 2] += (dx * width, dy * height)
        return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.float32)

    return move


def glare(picture: Floats, _: float) -> Floats:
    height, width = picture.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = np.exp(-(((x / width - 0.6) / 0.45) ** 2) - ((y / height - 0.4) / 0.5) ** 2)
    return np.asarray(picture * 0.5 + light * 320 + 60, np.float32)


def truck(picture: Floats, at_s: float) -> Floats:
    """Fills half the picture, for six seconds."""
    passed = picture.copy()
    if at_s < 6:
        passed[:, : picture.shape[1] // 2] = 80
    return passed


MISHAPS: dict[str, tuple[str, Mishap]] = {  # name -> cause that fits best, what it does
    "black cloth": ("black", cloth(9)),
    "grey cloth": ("covered", cloth(90)),
    "white cloth": ("covered", cloth(190)),
    "grey cloth within 2 s": ("covered", drawn_over_s(cloth(90), 2)),
    "half transparent": ("covered", veil(0.7, 100)),
    "black": ("black", cloth(0)),
    "overexposed": ("overexposed", lambda picture, _: picture * np.float32(2.5) + np.float32(140)),
    "glare": ("overexposed", glare),
    "blurred a little": ("blurred", blur(0.006)),
    "blurred": ("blurred", blur(0.012)),
    "blurred much": ("blurred", blur(0.03)),
    "moved by 2 %": ("moved", moved(0.02, 0)),
    "moved by 5 %": ("moved", moved(0.05, 0.01)),
    "moved by 20 %": ("moved", moved(0.2, 0.05)),
    "turned by 5 degrees": ("moved", moved(0, 0, 5)),
    "turned by 10 degrees": ("moved", moved(0, 0, 10)),
    "zoomed": ("moved", moved(0, 0, 0, 1.15)),
}
HARMLESS: dict[str, Mishap] = {
    "truck": truck,
    "light off": lambda picture, _: picture * np.float32(0.25),
    "clouds": lambda picture, at_s: picture * np.float32(0.8 + 0.2 * np.cos(at_s / 3)),
    "dusk": lambda picture, at_s: picture * np.float32(max(np.exp(-at_s / 60), 0.03)) + np.float32(4),
}
