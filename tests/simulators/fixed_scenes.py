"""Scenes before a camera that stands still, from real clips and real pictures, for as long as they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.frame import Image, Luma
from edgemass.sources import CaptureOptions
from tests.simulators.mishaps import noisy

Scene = Callable[[float], Image]
"""Seconds -> the picture at that time."""

LOOK_S = 0.5


def from_clip(video: Path, *, longest: int | None = None) -> Scene:
    """A clip in a loop, its seam included; pictures LOOK_S apart are kept. longest: side of the pictures."""
    pictures: list[Image] = []
    began_ns: int | None = None
    for frame in sources.open(str(video), CaptureOptions(), SystemClock()).frames():
        began_ns = frame.mono_ns if began_ns is None else began_ns
        if frame.mono_ns - began_ns >= len(pictures) * LOOK_S * 1e9:
            pictures.append(thinned(frame.image, longest))
    return looped(pictures)


def looped(pictures: Sequence[Image]) -> Scene:
    return lambda at_s: pictures[round(at_s / LOOK_S) % len(pictures)]


def from_picture(picture: Image, seed: int, *, width: int = 640, noise: float = 2.5) -> Scene:
    """A still picture as a camera on a mast delivers it: with noise, a breath of wind, and two who walk through it."""
    height = round(picture.shape[0] * width / picture.shape[1])
    still = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    random = np.random.default_rng(seed)
    walkers = [
        (
            np.ascontiguousarray(still[:, ::-1])[height // 3 : height // 3 + height // 4, x : x + width // 14],
            float(random.uniform(15, 40)),
            int(random.integers(height // 4, height // 2)),
        )
        for x in (width // 5, width // 2)
    ]

    def look(at_s: float) -> Image:
        number = round(at_s * 1000)
        right, down = np.random.default_rng((seed, number)).uniform(-0.15, 0.15, 2)
        matrix = np.array([[1, 0, right], [0, 1, down]], np.float32)
        seen = cv2.warpAffine(still, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
        for walker, round_s, top in walkers:
            left = round((at_s % round_s) / round_s * (width + walker.shape[1])) - walker.shape[1]
            first, last = max(left, 0), min(left + walker.shape[1], width)
            seen[top : top + walker.shape[0], first:last] = walker[:, first - left : last - left]
        return noisy(seen, noise, (seed * 7919 + number) % 2**31)

    return look


def thinned(picture: Image, longest: int | None) -> Image:
    if longest is None or max(picture.shape[:2]) <= longest:
        return picture
    scale = longest / max(picture.shape[:2])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def luma_of(picture: Image) -> Luma:
    """Brightness in full range."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
