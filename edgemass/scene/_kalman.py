"""Where boxes will be: one filter for many of them at once, in units of each box's own sides."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgemass.tensors import IntArray

Floats = NDArray[np.float64]

SPEED = np.array([[1.5, 1.5], [0.8, 0.8]])
"""How fast things are that we know nothing of, in sides a second; centre and sides.

A pedestrian walks at 1.4 m/s and is 0.6 m wide and 1.7 m tall; a car that comes nearer doubles its box in a second.
"""

MEMORY_S = 5.0  # velocities are forgotten at this pace: a pedestrian goes straight on for some seconds
NOISE = np.array([[0.08, 0.08], [0.12, 0.12]])  # of a detector's box, in sides; centre and sides
MIN_SIDE = 1e-5  # a tenth of a pixel of the largest frames
_MAX_STEP_S = 1e6  # beyond, nothing is left to be forgotten


class BoxFilter:
    """A Kalman filter for n boxes, each number of a box for itself. Used by one thread.

    box: float64 (n, 2, 2): [[centre x, centre y], [width, height]]. velocity: the same, a second.
    variance: float64 (3, n, 2, 2): of the value, shared by value and velocity, of the velocity; in units of the box's
        sides, so that no frame of reference enters.

    Velocities decay (Ornstein-Uhlenbeck): a long step leaves a box within its reach instead of far away, and two half
    steps are one whole step.
    """

    def __init__(self) -> None:
        self.box: Floats = np.empty((0, 2, 2))
        self.velocity: Floats = np.empty((0, 2, 2))
        self.variance: Floats = np.empty((3, 0, 2, 2))

    def begin(self, boxes: Floats) -> None:
        """Follow these too, which were seen once."""
        variance = np.zeros((3, len(boxes), 2, 2))
        variance[0], variance[2] = NOISE * NOISE, SPEED * SPEED
        self.box = np.concatenate([self.box, boxes])
        self.velocity = np.concatenate([self.velocity, np.zeros_like(boxes)])
        self.variance = np.concatenate([self.variance, variance], axis=1)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Follow no others."""
        self.box, self.velocity, self.variance = self.box[rows], self.velocity[rows], self.variance[:, rows]

    def predict(self, step_s: float) -> None:
        """Go on by so much time."""
        passed = min(step_s, _MAX_STEP_S) / MEMORY_S
        if passed <= 0 or not len(self.box):
            return
        stays = math.exp(-passed)
        reach = MEMORY_S * (1 - stays)
        spread = SPEED * SPEED
        drift = max(2 * passed - 3 + 4 * stays - stays * stays, 0.0)  # rounding, where passed is tiny
        self.box += self.velocity * reach
        np.maximum(self.box[:, 1], MIN_SIDE, out=self.box[:, 1])
        self.velocity *= stays
        value, both, speed = self.variance
        moved = reach * speed
        value += reach * (both + both + moved)
        value += spread * (MEMORY_S * MEMORY_S * drift)
        both += moved
        both *= stays
        both += spread * (MEMORY_S * (1 - stays) ** 2)
        speed *= stays * stays
        speed += spread * (1 - stays * stays)

    def correct(self, rows: IntArray, found: Floats) -> None:
        """What was found of some, (p, 2, 2) as `box`."""
        wrong = np.zeros_like(self.box)  # of all, since that takes less time than to pick some out and put them back
        wrong[rows] = found - self.box[rows]
        seen = np.zeros((len(self.box), 1, 1))
        seen[rows] = 1
        value, both, speed = self.variance
        trust = seen / (value + NOISE * NOISE)
        gain, gain_speed = value * trust, both * trust
        self.box += gain * wrong
        self.velocity += gain_speed * wrong
        speed -= gain_speed * both
        both -= gain * both
        value -= gain * value
