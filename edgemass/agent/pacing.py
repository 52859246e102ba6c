"""How many frames a second a camera is left while the board is held back: a share of what it does else. Pure."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0
LEAST_FPS = 1.0
"""A camera without max_fps is reckoned with no less: a scene that was still so far says nothing of what is to come."""
HALF_LIFE_S = 1200.0
"""A rate that was seen is half forgotten after so long: what the camera shows changes, and so does what else runs."""


class Pace:
    """Of one camera; used by one thread.

    usual_fps: frames a second that are run while nothing is held back; 0 = not seen yet.
    """

    def __init__(self) -> None:
        self.usual_fps = 0.0
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, frames: int, now_s: float, *, held: bool) -> None:
        """frames: that have been run so far. held: something is held back now, so that they say nothing."""
        if held or (self._seen and frames < self._seen[-1][1]):
            self._seen.clear()
            return
        self._seen.append((now_s, frames))
        first_s, first = self._seen[0]
        if now_s - first_s < WINDOW_S:
            return
        forgotten = 0.5 ** ((now_s - self._seen[-2][0]) / HALF_LIFE_S)
        self.usual_fps = max((frames - first) / (now_s - first_s), self.usual_fps * forgotten)
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()

    def limit(self, ratio: float, max_fps: float | None) -> float | None:
        """Frames a second to hold it to; None where nothing is to be held back.

        ratio: of what it does else. max_fps: that is configured; a model that is slower does less.
        """
        if ratio >= 1.0:
            return None
        usual_fps = self.usual_fps or max_fps or 0.0
        if max_fps is None:
            usual_fps = max(usual_fps, LEAST_FPS)
        return min(usual_fps, max_fps or usual_fps) * ratio
