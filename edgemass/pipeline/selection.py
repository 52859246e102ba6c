"""Which frames of a camera are worth a turn: decided before one is asked for, and before anything is converted."""

from __future__ import annotations

from edgemass.errors import SourceError
from edgemass.frame import Frame
from edgemass.scene.motion import MotionGate, brightness


class Selection:
    """Holds a camera to its max_fps and leaves out what does not move. Used by one thread, but for `hold`.

    max_fps: by the frames' own time, so that a file is thinned as a camera would be.
    """

    def __init__(self, *, max_fps: float | None = None, gate: MotionGate | None = None) -> None:
        self.max_fps = max_fps
        self._interval_ns = _interval_ns(max_fps)
        self._next_ns: int | None = None
        self._gate = gate

    def hold(self, fps: float | None) -> None:
        """Run no more frames a second than this from now on, however many max_fps allows; None = those of max_fps.

        For any thread.
        """
        interval_ns = max(_interval_ns(self.max_fps), _interval_ns(fps))
        if interval_ns != self._interval_ns:
            self._interval_ns = interval_ns
            self._next_ns = None  # what was held back for long need not wait for the end of that

    def refuses(self, frame: Frame) -> str | None:
        """Why a frame is left out, as the name of its counter; None where it is to be run: tell `ran` which one was.

        frames_skipped: max_fps has no room for it. frames_still: nothing moves. frames_broken: it cannot be looked at.
        """
        if not self._is_due(frame.mono_ns):
            return "frames_skipped"
        if self._gate is None:
            return None
        try:
            passes = self._gate.passes(brightness(frame), frame.mono_ns)
        except SourceError:
            self.ran(frame)
            return "frames_broken"
        if not passes:
            self.ran(frame)  # the gate looks no more often than the detector would
            return "frames_still"
        return None

    def ran(self, frame: Frame) -> None:
        """This frame uses up what max_fps leaves room for; kept on average, not rounded to a part of the camera's rate.

        It may be a newer one than the frame that was not refused.
        """
        interval_ns, due_ns = self._interval_ns, self._next_ns  # `hold` may change them meanwhile
        late = due_ns is None or frame.mono_ns >= due_ns + interval_ns
        self._next_ns = (frame.mono_ns if due_ns is None or late else due_ns) + interval_ns

    def forget(self) -> None:
        """The camera was away: the next frame is not compared with those before."""
        if self._gate is not None:
            self._gate.forget()

    def _is_due(self, mono_ns: int) -> bool:
        due_ns = self._next_ns
        return not self._interval_ns or due_ns is None or mono_ns >= due_ns


def _interval_ns(fps: float | None) -> int:
    return int(1e9 / fps) if fps else 0
