"""A street with people who walk, drawn here: a person detector finds them, and nothing has to be fetched to see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edgemass.frame import Image

WIDTH, HEIGHT = 960, 540
FPS = 25.0
SECONDS = 20.0
_FIXED = 4
"""Bits behind the point of coordinates, for OpenCV."""
_MARGIN = 120
"""Pixels that a walker goes on beside the picture, before coming back on the other side."""
_STRIDE = 0.45
"""Radians that a leg swings to either side."""
_KERB, _LANE = 0.55, 0.66
"""Where the pavement and the road begin, as fractions of the height."""

Colour = tuple[int, int, int]
"""BGR."""
_WALLS: tuple[Colour, ...] = (
    (80, 95, 150),
    (165, 190, 200),
    (140, 140, 140),
    (120, 150, 130),
    (125, 165, 190),
    (130, 110, 95),
)
_SKIN: Colour = (130, 165, 210)
_HAIR: Colour = (35, 45, 60)
_SHOE: Colour = (30, 30, 35)


class Walker(NamedTuple):
    """x: pixels, at the start. y: of the feet. speed: pixels a second, negative to the left. phase: of the step."""

    x: float
    y: float
    height: float
    speed: float
    phase: float
    coat: Colour
    trousers: Colour

    def place(self, second: float) -> float:
        """Where the feet are: x, in pixels."""
        return (self.x + self.speed * second + _MARGIN) % (WIDTH + 2 * _MARGIN) - _MARGIN


WALKERS = (
    Walker(810.0, 398.0, 190.0, -60.0, 2.2, (170, 170, 180), (90, 60, 40)),
    Walker(420.0, 424.0, 215.0, -72.0, 1.5, (150, 110, 50), (60, 60, 60)),
    Walker(190.0, 462.0, 250.0, 88.0, 0.0, (70, 60, 150), (110, 80, 50)),
    Walker(675.0, 500.0, 285.0, 80.0, 0.7, (60, 120, 70), (120, 100, 90)),
)
"""The one behind is first."""


class Street:
    """Draws the picture of any second; the same for a second every time."""

    def __init__(self) -> None:
        draw = np.random.default_rng(3)
        self._empty = _background(draw)
        self._grain = draw.normal(0.0, 3.0, (HEIGHT, WIDTH, 3)).astype(np.float32)

    def at(self, second: float) -> Image:
        image = self._empty.copy()
        for walker in WALKERS:
            _walk(image, walker, second)
        cv2.GaussianBlur(image, (0, 0), 0.8, dst=image)
        cv2.add(image, np.roll(self._grain, round(second * FPS) * 7919, axis=1), dst=image, dtype=cv2.CV_8U)
        return image

    def loader(self, second: float) -> Callable[[], Image]:
        """What a Frame loads."""
        return lambda: self.at(second)


def _background(draw: np.random.Generator) -> Image:
    """Sky, houses, a pavement and a road."""
    kerb, lane = round(HEIGHT * _KERB), round(HEIGHT * _LANE)
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[:kerb] = (190.0, 175.0, 160.0)
    image[kerb:lane] = (150.0, 155.0, 160.0)
    image[lane:] = np.array((105.0, 102.0, 100.0)) * np.linspace(1.0, 0.75, HEIGHT - lane)[:, None, None]
    left = 0
    while left < WIDTH:
        right = left + int(draw.integers(120, 200))
        wall = np.array(_WALLS[int(draw.integers(len(_WALLS)))]) * draw.uniform(0.85, 1.1)
        _house(image, left, right, int(draw.integers(0, 50)), kerb, wall)
        left = right
    for x in range(30, WIDTH, 130):
        cv2.rectangle(image, (x, 450), (x + 60, 455), (200, 205, 205), cv2.FILLED)
    cv2.GaussianBlur(image, (0, 0), 1.2, dst=image)
    image += draw.normal(0.0, 4.0, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def _house(image: np.ndarray, left: int, right: int, top: int, bottom: int, wall: np.ndarray) -> None:
    cv2.rectangle(image, (left, top), (right, bottom), wall.tolist(), cv2.FILLED)
    for y in range(top + 40, bottom - 50, 55):
        for x in range(left + 18, right - 35, 45):
            cv2.rectangle(image, (x, y), (x + 24, y + 34), (wall * 0.45).tolist(), cv2.FILLED)
            cv2.rectangle(image, (x, y), (x + 24, y + 34), (wall * 1.2).tolist(), 1)


def _walk(image: Image, walker: Walker, second: float) -> None:
    """Draw a walker where he is in this second."""
    x = walker.place(second)
    unit = walker.height / 8.0  # as draughtsmen have it: a person is eight heads high
    swing = math.sin(walker.phase + 2 * math.pi * walker.speed * second / (5.2 * unit) / 2)
    ahead = math.copysign(1.0, walker.speed)
    _shadow(image, x, walker)
    _Figure(image, np.array((x, walker.y)), unit, ahead, swing).draw(walker.coat, walker.trousers)


def _shadow(image: Image, x: float, walker: Walker) -> None:
    wide, flat = round(walker.height * 0.22), round(walker.height * 0.035)
    top, left = round(walker.y) - flat, max(0, round(x) - wide)
    part = image[top : top + 2 * flat, left : max(0, round(x) + wide)]
    if part.size:
        dark = part.copy()
        cv2.ellipse(dark, (round(x) - left, flat), (wide, flat), 0, 0, 360, (60, 60, 60), cv2.FILLED, cv2.LINE_AA)
        cv2.addWeighted(dark, 0.5, part, 0.5, 0, dst=part)


class _Figure:
    """One person from the side. feet: x, y. unit: pixels of a head. ahead: 1 to the right, -1 to the left.

    swing: -1 to 1, how far the limbs are from the middle of a step.
    """

    def __init__(self, image: Image, feet: np.ndarray, unit: float, ahead: float, swing: float) -> None:
        self._image = image
        self._unit = unit
        self._ahead = ahead
        self._swing = swing
        self._hip = feet - np.array((0.0, 4.0)) * unit
        self._neck = feet + np.array((0.1 * ahead, -6.7)) * unit
        self._head = feet + np.array((0.2 * ahead, -7.35)) * unit

    def draw(self, coat: Colour, trousers: Colour) -> None:
        """What is behind comes first."""
        self._leg(-self._swing, _shade(trousers, 0.7))
        self._arm(self._swing, _shade(coat, 0.72))
        self._leg(self._swing, trousers)
        self._limb(self._neck, (0.0, 0.45), self._hip, (0.0, 0.1), (1.55, 1.35), coat)
        self._limb(self._neck, (-0.25, 0.6), self._hip, (-0.3, 0.1), (0.8, 0.7), _shade(coat, 0.72))
        self._arm(-self._swing, _shade(coat, 1.12))
        self._limb(self._neck, (0.0, 0.15), self._head, (0.0, 0.0), (0.45, 0.45), _SKIN)
        self._round(self._head, (0.42, 0.55), (0, 360), _SKIN)
        self._round(self._head + self._way(-0.1, -0.15), (0.46, 0.48), (150, 390), _HAIR)

    def _leg(self, swing: float, colour: Colour) -> None:
        thigh = swing * _STRIDE
        shin = thigh - max(0.0, -thigh) * 0.9 - 0.09
        knee = self._hip + self._way(math.sin(thigh) * 2, math.cos(thigh) * 2)
        foot = knee + self._way(math.sin(shin) * 1.9, math.cos(shin) * 1.85)
        self._limb(self._hip, (0, 0), knee, (0, 0), (1.0, 0.72), colour)
        self._limb(knee, (0, 0), foot, (0, 0), (0.68, 0.42), colour)
        self._limb(foot, (0, 0), foot, (0.55, 0.08), (0.42, 0.3), _SHOE)

    def _arm(self, swing: float, colour: Colour) -> None:
        shoulder = self._neck + self._way(0.0, 0.5)
        elbow = shoulder + self._way(math.sin(swing * 0.5) * 1.5, 1.5)
        hand = elbow + self._way((math.sin(swing * 0.5) + 0.25) * 1.2, 1.2)
        self._limb(shoulder, (0, 0), elbow, (0, 0), (0.62, 0.5), colour)
        self._limb(elbow, (0, 0), hand, (0, 0), (0.48, 0.36), colour)
        self._round(hand, (0.24, 0.24), (0, 360), _SKIN)

    def _way(self, ahead: float, down: float) -> np.ndarray:
        """Heads ahead and down, as pixels."""
        return np.array((ahead * self._ahead, down)) * self._unit

    def _limb(
        self,
        start: np.ndarray,
        from_start: tuple[float, float],
        end: np.ndarray,
        from_end: tuple[float, float],
        widths: tuple[float, float],
        colour: Colour,
    ) -> None:
        """A band with round ends from one place to another; what is beside them, and the widths, in heads."""
        first, last = start + self._way(*from_start), end + self._way(*from_end)
        along = (last - first) / max(float(np.hypot(*(last - first))), 1e-9)
        across = np.array((-along[1], along[0]))
        radii = [width * self._unit / 2 for width in widths]
        corners = (
            first + across * radii[0],
            last + across * radii[1],
            last - across * radii[1],
            first - across * radii[0],
        )
        cv2.fillPoly(self._image, [_fixed(corners)], colour, cv2.LINE_AA, _FIXED)
        for centre, radius in zip((first, last), radii, strict=True):
            x, y = _fixed(centre)
            cv2.circle(self._image, (int(x), int(y)), round(radius * 2**_FIXED), colour, -1, cv2.LINE_AA, _FIXED)

    def _round(
        self, centre: np.ndarray, axes: tuple[float, float], degrees: tuple[float, float], colour: Colour
    ) -> None:
        x, y = _fixed(centre)
        wide, high = (round(axis * self._unit * 2**_FIXED) for axis in axes)
        cv2.ellipse(self._image, (int(x), int(y)), (wide, high), 0, *degrees, colour, cv2.FILLED, cv2.LINE_AA, _FIXED)


def _shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = (min(255, int(part * factor)) for part in colour)
    return blue, green, red


def _fixed(points: npt.ArrayLike) -> npt.NDArray[np.int32]:
    return np.asarray(np.round(np.asarray(points, np.float64) * 2**_FIXED), np.int32)
