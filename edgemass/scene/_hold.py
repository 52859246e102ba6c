"""When a cause is told and when it is over: not at the first bad picture, and not at the first good one."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from edgemass.config.integrity import Cause

LOOKS = 3  # that must agree, however far apart they are
FORGIVEN = 1.0  # seconds of suspicion that a good second takes away


class Hold:
    """What is told of the causes that single looks speak for.

    cause: what is told; "" = the camera sees its scene. since_ns: the frame's own time from when on.
    """

    def __init__(self, *, confirm_s: float, recover_s: float) -> None:
        self._confirm_s, self._recover_s = confirm_s, recover_s
        self.cause: Cause | Literal[""] = ""
        self.since_ns = 0
        self._bad_s = self._good_s = self._other_s = 0.0
        self._bad_looks = self._good_looks = 0
        self._began_ns = 0
        self._suspected: Counter[Cause] = Counter()

    @property
    def suspicious(self) -> bool:
        """Whether something is told, or may be soon."""
        return bool(self.cause or self._bad_looks)

    def see(self, cause: Cause | None, elapsed_s: float, mono_ns: int) -> None:
        """One more look.

        elapsed_s: since the look before. A frozen picture is told at once: that has been waited for. Of other causes
        the one that most looks spoke for is told.
        """
        if self.cause:
            self._see_while_told(cause, elapsed_s, mono_ns)
        elif cause is None:
            self._bad_s = max(self._bad_s - FORGIVEN * elapsed_s, 0.0)
            self._bad_looks = max(self._bad_looks - 1, 0)
        else:
            self._suspect(cause, elapsed_s, mono_ns)

    def _suspect(self, cause: Cause, elapsed_s: float, mono_ns: int) -> None:
        if self._bad_looks:
            self._bad_s += elapsed_s
        else:  # it was good until now, for all that is known
            self._began_ns = mono_ns
            self._suspected.clear()
        self._bad_looks += 1
        self._suspected[cause] += 1
        if cause == "frozen":
            self._tell(cause, self._began_ns)
        elif self._bad_s >= self._confirm_s and self._bad_looks >= LOOKS:
            self._tell(self._suspected.most_common(1)[0][0], self._began_ns)

    def clear(self, mono_ns: int) -> None:
        """The present picture is as it should be."""
        self._tell("", mono_ns)

    def _see_while_told(self, cause: Cause | None, elapsed_s: float, mono_ns: int) -> None:
        if cause is None:
            self._good_s += elapsed_s
            self._good_looks += 1
            if self._good_s >= self._recover_s and self._good_looks >= LOOKS:
                self._tell("", mono_ns)
            return
        self._good_s, self._good_looks = 0.0, 0
        self._other_s = self._other_s + elapsed_s if cause != self.cause else 0.0
        if self._other_s > self._confirm_s:
            self._tell(cause, self.since_ns)

    def _tell(self, cause: Cause | Literal[""], since_ns: int) -> None:
        self.cause, self.since_ns = cause, since_ns
        self._bad_s = self._good_s = self._other_s = 0.0
        self._bad_looks = self._good_looks = 0
