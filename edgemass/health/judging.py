"""What numbers mean: rules on values, apart from whoever reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from edgemass.messages.health import CameraHealth, HealthMessage, Percentiles, Quality

OVERDUE = 3
"""A state that was not renewed for so many of its periods is old."""
GRACE_S = 10.0
NOT_WANTED = ("disabled", "ended")
SEEING = ("online", "blind")
LOOP_MOST_S = 30.0


def percentiles(values: Iterable[float]) -> Percentiles | None:
    """By the nearest rank; None where there are no values."""
    ranked = sorted(values)
    if not ranked:
        return None
    return Percentiles(*(round(ranked[math.ceil(len(ranked) * part) - 1], 3) for part in (0.5, 0.95, 0.99)))


def quality(*, online: bool, fps: float, usual_fps: float | None, reconnects: int, stalls: int) -> Quality:
    """Of a camera's connection.

    fps: over the last minute. usual_fps: what is asked of it, or the best of the last hour; None = not known yet.
    reconnects, stalls: in the last hour; a stall is five seconds without a frame of a camera that is there.
    """
    share = fps / usual_fps if usual_fps else 1.0
    most = max(reconnects, stalls)
    if not online or share < 0.25 or most > 20:
        return "unusable"
    if share < 0.6 or most > 5:
        return "poor"
    if share < 0.9 or most > 0:
        return "fair"
    return "excellent"


def is_ready(cameras: Mapping[str, CameraHealth]) -> bool:
    """Whether every camera that is wanted gives frames to a model; so it is where all were switched off on purpose, and
    not where all files have come to their end.
    """
    wanted = [camera for camera in cameras.values() if camera.state not in NOT_WANTED]
    off = bool(cameras) and all(camera.state == "disabled" for camera in cameras.values())
    return off or (bool(wanted) and all(camera.state in SEEING and camera.frames_processed > 0 for camera in wanted))


def healthy(message: HealthMessage | None, age_s: float) -> bool:
    """Whether the daemon works, for `/healthz`: its loop came by lately, and documents of its health are made.

    message: the newest, None before the first. age_s: since the loop came by.
    """
    return message is not None and age_s <= LOOP_MOST_S


def is_old(message: HealthMessage, age_s: float) -> bool:
    """Whether a newer one should have come. age_s: since it was made."""
    return age_s > OVERDUE * message.every_s + GRACE_S
