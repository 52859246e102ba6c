"""Where boxes will be: one filter for many of them at once, in units of each box's own sides.

A box is its centre and its sides, float64 (n, 2, 2): [[centre x, centre y], [width, height]]. Each of the four numbers
has a velocity that decays (Ornstein-Uhlenbeck): a long step leaves a box within its reach instead of far away, and two
half steps are one whole step. Variances are float64 (n, 3, 2): of the value, shared by value and velocity, of the
velocity; for centre and sides; in units of the box's sides, so that no frame of reference enters.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPEED = np.array([1.5, 0.4])
"""How fast things are that we know nothing of, in sides a second: a pedestrian walks 1.4 m/s and is 0.6 m wide."""

MEMORY_S = 1.0  # velocities are forgotten at this pace
NOISE = np.array([0.06, 0.08])  # of a detector's box, in sides


def predict(box: Floats, velocity: Floats, variance: Floats, step_s: float) -> None:
    """Go on by `step_s`, in place."""
    if step_s <= 0:
        return
    passed = step_s / MEMORY_S
    stays = math.exp(-passed)
    reach = MEMORY_S * (1 - stays)
    box += velocity * reach
    velocity *= stays
    value, both, speed = variance[:, 0], variance[:, 1], variance[:, 2]
    drift = max(2 * passed - 3 + 4 * stays - stays * stays, 0.0)  # rounding, where passed is tiny
    value += 2 * reach * both + reach * reach * speed + SPEED * SPEED * (MEMORY_S * MEMORY_S * drift)
    both += reach * speed
    both *= stays
    both += SPEED * SPEED * (MEMORY_S * (1 - stays) ** 2)
    speed *= stays * stays
    speed += SPEED * SPEED * (1 - stays * stays)


def correct(box: Floats, velocity: Floats, variance: Floats, found: Floats) -> tuple[Floats, Floats, Floats]:
    """What is known after a detection of each: box, velocity, variance, as new arrays."""
    value, both, speed = variance[:, 0], variance[:, 1], variance[:, 2]
    total = value + NOISE * NOISE
    gain, gain_speed = value / total, both / total
    wrong = found - box
    after = np.empty_like(variance)
    after[:, 0] = value * (1 - gain)
    after[:, 1] = both * (1 - gain)
    after[:, 2] = speed - gain_speed * both
    return box + gain[:, :, None] * wrong, velocity + gain_speed[:, :, None] * wrong, after


def first_variance(count: int) -> Floats:
    """Of boxes that were seen once."""
    variance = np.zeros((count, 3, 2))
    variance[:, 0] = NOISE * NOISE
    variance[:, 2] = SPEED * SPEED
    return variance
