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
_SPEED_2, _NOISE_2 = SPEED * SPEED, NOISE * NOISE
_MAX_STEP_S = 1e6  # beyond, nothing is left to be forgotten


class BoxFilter:
    """A Kalman filter for n boxes, each number of a box for itself. Used by one thread.

    state: float64 (2, n, 2, 2): the boxes, [[centre x, centre y], [width, height]] each, and their velocities a second.
    variance: float64 (3, n, 2, 2): of the value, shared by value and velocity, of the velocity; in units of the box's
        sides, so that no frame of reference enters.

    Velocities decay (Ornstein-Uhlenbeck): a long step leaves a box within its reach instead of far away, and two half
    steps are one whole step. Each operation is on all boxes, since to pick some out and put them back takes longer.
    """

    def __init__(self) -> None:
        self.state: Floats = np.empty((2, 0, 2, 2))
        self.variance: Floats = np.empty((3, 0, 2, 2))

    @property
    def box(self) -> Floats:
        """Where they are expected, (n, 2, 2)."""
        boxes: Floats = self.state[0]
        return boxes

    def begin(self, boxes: Floats) -> None:
        """Follow these too, which were seen once."""
        state, variance = np.zeros((2, *boxes.shape)), np.zeros((3, *boxes.shape))
        state[0] = boxes
        variance[0], variance[2] = _NOISE_2, _SPEED_2
        self.state = np.concatenate([self.state, state], axis=1)
        self.variance = np.concatenate([self.variance, variance], axis=1)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Follow no others."""
        self.state, self.variance = self.state[:, rows], self.variance[:, rows]

    def stop(self, rows: NDArray[np.bool_]) -> None:
        """These have no velocity."""
        self.state[1, rows] = 0

    def predict(self, step_s: float) -> None:
        """Go on by so much time."""
        passed = min(step_s, _MAX_STEP_S) / MEMORY_S
        if passed <= 0 or not len(self.box):
            return
        stays = math.exp(-passed)
        reach = MEMORY_S * (1 - stays)
        drift = max(2 * passed - 3 + 4 * stays - stays * stays, 0.0)  # rounding, where passed is tiny
        box, velocity = self.state
        box += velocity * reach
        np.maximum(box[:, 1], MIN_SIDE, out=box[:, 1])
        velocity *= stays
        value, both, speed = self.variance
        moved = reach * speed
        value += (2 * reach) * both
        value += reach * moved
        both += moved
        self.variance *= np.array([1.0, stays, stays * stays])[:, None, None, None]
        grown = np.array([MEMORY_S * MEMORY_S * drift, MEMORY_S * (1 - stays) ** 2, 1 - stays * stays])
        self.variance += grown[:, None, None, None] * _SPEED_2

    def correct(self, rows: IntArray, found: Floats) -> None:
        """What was found of some, (p, 2, 2) as the boxes."""
        wrong = np.zeros_like(self.box)
        wrong[rows] = found - self.box[rows]
        seen = np.zeros((len(wrong), 1, 1))
        seen[rows] = 1
        known = self.variance[:2]  # all that is corrected through the value
        gain = known * (seen / (known[0] + _NOISE_2))
        self.state += gain * wrong
        self.variance[2] -= gain[1] * known[1]
        known -= gain[0] * known
