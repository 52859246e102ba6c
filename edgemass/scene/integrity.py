"""Whether a camera sees its scene: an empty street must not look like a camera with a cloth over it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from edgemass.config.integrity import Cause, IntegrityConfig
from edgemass.frame import Luma
from edgemass.scene import _judging as judging
from edgemass.scene._blocks import Detail, Grid
from edgemass.scene._hold import Hold
from edgemass.scene._judging import Findings, evidence
from edgemass.scene._look import Look, change, take_look
from edgemass.scene._matching import Match, compare, structure
from edgemass.scene._views import FEW_BLOCKS, Memory, View, Views, as_view, restored, softened

__all__ = ["Integrity", "Memory", "Verdict"]

NS = 1_000_000_000
LOOK_S, SUSPICIOUS_S = 0.95, 0.45  # between two looks: about one a second at any frame rate, or two
LONGEST_S = 10.0  # that one look speaks for, however long ago the last was
LEARN_S, LEARN_LOOKS = 8.0, 6
RECENT_S = 1.0  # over which a picture is averaged before it is compared, against noise and what passes
USUAL_S = 30.0  # in which the usual view follows: dusk, clouds and shadows are slower
KEEP_S = 60.0  # between two views that are remembered
GOOD = 0.6  # fraction of blocks alike: then no other view is asked
ABOUT = 10.0  # steps of brightness between two pictures that are as dark as each other
HALF = 0.5  # of a remembered view and of the picture in which it was found again
FROZEN_S = 2.0  # longer than any other cause must hold
BEGINNINGS = 2  # looks in a row at which an encoder may begin anew with a frozen picture
STILL_TIMES = 2.5  # as long as the camera has stood still by itself: then it is frozen
NATURAL_STILL_S = 600.0  # longer is not believed


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a camera sees its scene.

    cause: why it does not; "" = it does. learning: nothing is known yet that a picture could be compared with; only a
    black, covered or overexposed one is told.
    since_ns: the frame's own time from when on it has been so.
    evidence: what was measured at the last look, and the limits it is held to (`..._limit`).
    """

    cause: Cause | Literal[""] = ""
    learning: bool = True
    since_ns: int = 0
    evidence: dict[str, float] = field(default_factory=dict)


class Integrity:
    """Compares every so many-th picture of one camera with what it usually sees. Used by one thread.

    remembered: what an earlier run has learned; not used for pictures of another size.
    """

    def __init__(self, options: IntegrityConfig, remembered: Memory | None = None) -> None:
        self._options = options
        self._remembered = remembered
        self._hold = Hold(confirm_s=options.confirm_s, recover_s=options.recover_s)
        self._verdict = Verdict()
        self._views = Views()
        self._size = (0, 0)
        self._natural_still_s = 0.0  # for so long nothing has changed, and then it went on
        self._looked_ns: int | None = None
        self._accepting = False
        self._moved_s = self._kept_s = 0.0
        self.forget()

    def forget(self) -> None:
        """The camera was away: the next pictures are compared with the remembered views, not with the last minute."""
        self._before: Look | None = None
        self._recent: Grid | None = None
        self._usual: View | None = None
        self._noise = self._cell_noise = self._changed = 0.0
        self._still_s, self._beginnings = 0.0, 0
        self._learned_s, self._learned_looks = 0.0, 0
        self._draft: View | None = None

    def relearn(self) -> None:
        """The present view is the normal one, whatever is in it; all others are forgotten."""
        self.forget()
        self._views = Views()
        self._natural_still_s = self._moved_s = 0.0
        self._hold.clear(self._looked_ns or 0)
        self._accepting = True
        self._verdict = Verdict(since_ns=self._looked_ns or 0)

    def memory(self) -> Memory | None:
        """What has been learned, to be given to the next run; None while that is nothing."""
        if not self._views:
            return None
        height, width = self._size
        return Memory(height=height, width=width, still_s=self._natural_still_s, views=self._views.stored())

    def due(self, mono_ns: int) -> bool:
        """Whether a picture of this time would be looked at; others need not be made ready."""
        gap_s = SUSPICIOUS_S if self._hold.suspicious else LOOK_S
        return self._looked_ns is None or not 0 <= mono_ns - self._looked_ns < gap_s * NS

    def look(self, luma: Luma, mono_ns: int) -> Verdict:
        """To be called with every picture of the camera; it looks at about one a second, at two where it suspects.

        luma: uint8 (height, width) with any strides; a bounded number of its pixels is read, and none is kept.
        mono_ns: the frame's own time; it may stand still or jump.
        """
        if not self.due(mono_ns):
            return self._verdict
        elapsed_s = 0.0 if self._looked_ns is None else min(max(mono_ns - self._looked_ns, 0) / NS, LONGEST_S)
        self._looked_ns = mono_ns
        if luma.shape != self._size:
            self._take_size(luma)
        look = take_look(luma)
        self._follow(look, elapsed_s)
        found = self._find(look)
        cause = None if self._accepting else judging.judge(found)
        self._hold.see(cause, elapsed_s, mono_ns)
        if cause is None and not self._hold.cause:
            self._learn(found, elapsed_s)
        else:
            self._draft, self._learned_s, self._learned_looks = None, 0.0, 0
        self._accept(found, elapsed_s, mono_ns)
        self._verdict = self._tell(found)
        return self._verdict

    def _take_size(self, luma: Luma) -> None:
        """Another camera, for all that is known."""
        if self._size != (0, 0):
            self.relearn()
            self._accepting = False
        self._size = (luma.shape[0], luma.shape[1])
        remembered, self._remembered = self._remembered, None
        if remembered is not None and (remembered.height, remembered.width) == self._size:
            self._views = restored(remembered)
            self._natural_still_s = min(max(remembered.still_s, 0.0), NATURAL_STILL_S)

    def _follow(self, look: Look, elapsed_s: float) -> None:
        """Bring up to date what the last seconds have in common, and for how long nothing has changed."""
        if self._before is None or self._recent is None:
            self._before, self._recent = look, look.grid
            return
        changed = change(self._before, look)
        self._before = look
        share = 1 - math.exp(-elapsed_s / RECENT_S)
        self._recent = self._recent + np.float32(share) * (look.grid - self._recent)
        # of an average in which each look has this share
        self._cell_noise = changed.cell_noise * math.sqrt(share / (2 - share))
        self._noise, self._changed = changed.noise, changed.places
        if judging.is_still(changed.places, self._usual):
            self._still_s += elapsed_s
            self._beginnings = 0
        elif self._beginnings < BEGINNINGS and judging.is_stiller(changed.places, self._usual):
            self._beginnings += 1
            self._still_s += elapsed_s if self._still_s else 0.0
        else:
            if self._hold.cause != "frozen":
                self._natural_still_s = min(max(self._natural_still_s, self._still_s), NATURAL_STILL_S)
            self._still_s, self._beginnings = 0.0, 0

    def _find(self, look: Look) -> Findings:
        assert self._recent is not None
        now = as_view(look, self._recent, self._noise, self._changed)
        detailed = now.detailed
        seen = structure(detailed, self._cell_noise)
        usual, match = self._expect(look, detailed, seen)
        return Findings(
            look=look,
            now=now,
            structure=seen,
            usual=usual,
            match=match,
            softened=None if usual is None else softened(usual, now),
            still_s=self._still_s,
            still_limit_s=max(self._options.confirm_s + FROZEN_S, STILL_TIMES * self._natural_still_s),
        )

    def _expect(self, look: Look, detailed: Detail, seen: float) -> tuple[View | None, Match | None]:
        """The view that a picture is to be held to, and how it compares; see `Findings`."""
        noise = self._cell_noise
        usual, match = self._usual, None
        if usual is not None:
            match = compare(usual.detailed, detailed, noise)
            if match.blocks < FEW_BLOCKS:
                return usual, None
            if match.same >= GOOD and match.displaced < judging.ELSEWHERE:
                return usual, match
        best, best_same = None, GOOD if usual is not None else -1.0
        for view in self._views:
            other = compare(view.detailed, detailed, noise, search=0.0)
            if other.blocks >= FEW_BLOCKS:
                if other.same > best_same:
                    best, best_same = view, other.same
            elif usual is None and seen < judging.FLAT and abs(view.level - look.level) < ABOUT:
                return view, None  # as dark as it has been before, with nothing to be seen
        if best is None:
            return usual, match
        return best, compare(best.detailed, detailed, noise)

    def _learn(self, found: Findings, elapsed_s: float) -> None:
        """Take a good look into what is usual."""
        now = found.now
        if self._usual is not None:
            if self._still_s:
                now = replace(now, changed=self._usual.changed)
            self._usual = self._usual.towards(now, 1 - math.exp(-elapsed_s / USUAL_S))
            self._kept_s += elapsed_s
            if self._kept_s >= KEEP_S:
                self._kept_s = 0.0
                self._views.keep(self._usual)
        elif found.usual is not None:
            self._usual = found.usual.towards(now, HALF)
        else:
            self._learned_looks += 1
            self._learned_s += elapsed_s
            self._draft = now if self._draft is None else self._draft.towards(now, 1 / self._learned_looks)
            if self._learned_s >= LEARN_S and self._learned_looks >= LEARN_LOOKS:
                self._usual, self._accepting = self._draft, False
                self._views.keep(self._usual)

    def _accept(self, found: Findings, elapsed_s: float, mono_ns: int) -> None:
        """Take the view of a camera that has been moved for long enough as the usual one."""
        self._moved_s = self._moved_s + elapsed_s if self._hold.cause == "moved" else 0.0
        if self._hold.cause == "moved" and self._moved_s >= self._options.accept_moved_s:
            self._usual = found.now
            self._views.keep(self._usual)
            self._hold.clear(mono_ns)

    def _tell(self, found: Findings) -> Verdict:
        cause = self._hold.cause
        return Verdict(
            cause="" if cause in self._options.ignore else cause,
            learning=self._usual is None and not self._views,
            since_ns=self._hold.since_ns,
            evidence=evidence(found, self._changed),
        )
