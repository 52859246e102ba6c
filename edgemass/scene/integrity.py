"""Whether a camera's picture can be trusted: covered, black, overexposed, frozen, out of focus, or moved.

What the camera normally sees is learned as a few views, by day and by night. Loss of what is normal counts only where it
comes within seconds: dusk takes minutes, a hand does not. Measured numbers go along as evidence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgemass.config.integrity import Cause, IntegrityConfig
from edgemass.frame import Luma
from edgemass.scene._sight import GRID, Eye, Look
from edgemass.scene._views import MOST, Likeness, Memory, View, new_view, recall, remember

LOOK_S = 0.5
ABRUPT_S = 6.0  # from a picture that was as usual to one that is not: slower than that is dusk, fog or dawn
GONE = 0.65  # of the stable edges: then it is not what it was
USUAL = 0.3  # of them may be gone, behind what passes
FAINT = 0.4  # of the usual contrast: something half transparent is before it
SOFT = 0.45  # of the usual sharpness
DARK, DARK_SPREAD = 14.0, 8.0  # steps of brightness of a picture that is black
GLARE = 0.35  # of the picture is white
FROZEN = 0.2  # of the usual change from look to look
NOISY = 0.12  # steps of brightness: a camera that changes less from look to look is not known to be alive by that
ALIVE = 0.95  # of the looks, at least, that differ in a camera whose standing still means something
STILL_LOOKS = 6  # in a row
LAYOUT = 0.8  # correlation of coarse brightness: the same scene, only blurred
FEW_EDGES = 0.02  # of the picture: too few stable edges to tell anything by them
LOST_IN_GLARE = 0.5  # of the edges, where a good part of the picture is white
STRONG = 0.7  # of the usual contrast is as usual
FLAT = 0.55  # of the structure that was there: there is nothing to see
IN_PLACE = 0.75  # of the usual likeness: no need to look for a shift
MOVED = 0.5  # of the stable edges are found again beside their places
BRIGHT_ENOUGH = 0.5  # of the usual contrast, to tell a blurred picture from a dim one
NOISIER = 2.0  # times the usual change from look to look: too noisy to tell
FINE_LOOKS = 2  # in a row end what has not been told yet
MOST_PASSED_S = 2.0  # of time that one look stands for
_NS = 1e9

_Finding = tuple[Cause | Literal[""], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """cause: "" where the picture is fine. learning: the normal view is not known yet, and nothing can be told.

    since_ns: when it began. evidence: what was measured, each number beside the limit that it met (`..._limit`).
    """

    cause: Cause | Literal[""]
    learning: bool
    since_ns: int
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Trouble:
    """A run of looks that were not fine. causes: the last ones; fine: looks since that were."""

    since_ns: int
    causes: deque[Cause] = field(default_factory=lambda: deque(maxlen=5))
    fine: int = 0

    @property
    def cause(self) -> Cause:
        """What most of the last looks say."""
        return max(self.causes, key=self.causes.count)


class Integrity:
    """Judges one camera; used by one thread.

    remembered: what was learned before a restart.
    """

    def __init__(self, options: IntegrityConfig, remembered: Memory | None = None) -> None:
        self._options = options
        self._eye = Eye()
        self._views: list[View] = recall(remembered) if remembered is not None else []  # the one in use first
        self._verdict = Verdict("", not self._views, 0)
        self._looked_ns: int | None = None
        self._usual_ns: int | None = None  # when the picture was last as usual; None = not since the camera came
        self._lost_ns: int | None = None  # since when it is not what it was
        self._abrupt = False  # that it came within seconds
        self._strong_ns: int | None = None  # when its contrast was last as usual
        self._veil_ns: int | None = None  # since when it is not
        self._veil_abrupt = False
        self._still = 0  # looks in a row with hardly any change
        self._trouble: _Trouble | None = None
        self._fine_ns: int | None = None  # since when there has been no trouble

    @property
    def memory(self) -> Memory | None:
        """What was learned; None while nothing was."""
        return remember([view for view in self._views if view.seconds >= self._options.learn_s])

    def look(self, luma: Luma, mono_ns: int) -> Verdict:
        """Judge a frame, if another look is due; returns what holds now.

        luma: uint8 (height, width) with any strides; only some of its pixels are read, and none is kept.
        mono_ns: the frame's own time.
        """
        before_ns = self._looked_ns
        if before_ns is not None and 0 <= mono_ns - before_ns < LOOK_S * _NS:
            return self._verdict
        passed_s = LOOK_S if before_ns is None else min(max(mono_ns - before_ns, 0) / _NS, MOST_PASSED_S)
        self._looked_ns = mono_ns
        look = self._eye.look(luma)
        if self._views and self._views[0].cells.shape != look.cells.shape:
            self.relearn()
        self._judge(look, mono_ns, passed_s)
        return self._verdict

    def forget(self) -> None:
        """The camera was away: what comes next is compared with what was normal before."""
        self._eye.forget()
        self._looked_ns = self._usual_ns = self._strong_ns = self._lost_ns = None
        self._still = 0

    def relearn(self) -> None:
        """Take what is seen from now on for normal."""
        self._views.clear()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._trouble = self._lost_ns = self._usual_ns = self._strong_ns = None
        self._still = 0
        self._verdict = Verdict("", learning=True, since_ns=self._looked_ns or 0)

    def _judge(self, look: Look, mono_ns: int, passed_s: float) -> None:
        if not self._views:
            self._views.append(new_view(look))
        view = self._views[0]
        if view.seconds < self._options.learn_s:
            view.learn(look, passed_s)
            self._usual_ns = self._strong_ns = mono_ns
            self._verdict = Verdict("", view.seconds < self._options.learn_s, self._verdict.since_ns)
            return
        view, likeness = self._recognise(look)
        if self._has_changed_slowly(likeness, look, mono_ns):
            self._add_view(look)
            return
        cause, evidence = self._cause(view, look, likeness, mono_ns)
        if not cause and self._trouble is None and not self._still:
            view.learn(look, passed_s)
        self._settle(cause, evidence, look, mono_ns)

    def _recognise(self, look: Look) -> tuple[View, Likeness]:
        """The view that the picture shows: the one in use, unless it is surely another one."""
        view = self._views[0]
        likeness = view.compare(look)
        if likeness.lost < USUAL and likeness.stable >= FEW_EDGES:
            return view, likeness
        for other in self._views[1:]:
            another = other.compare(look)
            if another.stable >= FEW_EDGES and another.lost < USUAL and another.lost < likeness.lost:
                self._views.remove(other)
                self._views.insert(0, other)
                return other, another
        return view, likeness

    def _has_changed_slowly(self, likeness: Likeness, look: Look, mono_ns: int) -> bool:
        """Whether the picture is not what it was, and came to that slowly: then this is normal now, too."""
        if likeness.stable < FEW_EDGES:  # a view in the dark: what shows more is another one
            self._usual_ns = mono_ns
            return look.structure > 2 * FEW_EDGES + likeness.structure
        if likeness.lost < USUAL:
            self._usual_ns, self._lost_ns = mono_ns, None
            return False
        if likeness.lost < GONE:
            self._lost_ns = None
            return False
        if self._lost_ns is None:
            self._lost_ns = mono_ns
            if self._usual_ns is None:  # after a time without pictures: a night may have fallen meanwhile
                self._abrupt = look.mean >= 2 * DARK
            else:
                self._abrupt = mono_ns - self._usual_ns <= ABRUPT_S * _NS
        return not self._abrupt

    def _add_view(self, look: Look) -> None:
        """Begin to learn another normal view; of those before, the ones that were seen longest stay."""
        longest = sorted(self._views, key=lambda view: -view.seconds)[: MOST - 1]
        self._views = [new_view(look), *(view for view in self._views if view in longest)]
        self._begin_anew()

    # Causes

    def _cause(
        self, view: View, look: Look, likeness: Likeness, mono_ns: int
    ) -> tuple[Cause | Literal[""], dict[str, float]]:
        """What is wrong with this very picture, and the numbers that say so."""
        for cause, evidence in (
            self._lost(view, look, likeness),
            self._frozen(view, look),
            self._glaring(look, likeness),
            self._veiled(view, look, likeness, mono_ns),
            _shifted(view, look, likeness),
            _soft(view, look),
        ):
            if cause and cause not in self._options.ignore:
                return cause, evidence
        return "", {}

    def _frozen(self, view: View, look: Look) -> _Finding:
        """Not one pixel changes where some always did, or far less changes than ever."""
        still = look.same and view.moving >= ALIVE
        limit = FROZEN * view.change
        if view.change >= NOISY and look.change is not None:
            still = still or look.change <= limit
        self._still = self._still + 1 if still else 0
        if self._still < STILL_LOOKS:
            return "", {}
        return "frozen", {"change": look.change or 0.0, "change_limit": limit}

    def _lost(self, view: View, look: Look, likeness: Likeness) -> _Finding:
        """The edges that were there are gone, within seconds."""
        if self._lost_ns is None or likeness.stable < FEW_EDGES:
            return "", {}
        evidence = {"lost": likeness.lost, "lost_limit": GONE, "brightness": look.mean}
        if look.mean < DARK and look.spread < DARK_SPREAD:
            return "black", {**evidence, "brightness_limit": DARK}
        if look.white >= GLARE:
            return "overexposed", {**evidence, "white": look.white, "white_limit": GLARE}
        soft = _softness(view, look) < SOFT
        if soft and likeness.layout >= LAYOUT:
            return "blurred", {**evidence, "sharpness": _softness(view, look), "sharpness_limit": SOFT}
        evidence |= {"structure": likeness.instead, "structure_limit": FLAT}
        return ("covered" if soft or likeness.instead < FLAT else "moved"), evidence

    def _glaring(self, look: Look, likeness: Likeness) -> _Finding:
        if look.white >= GLARE and likeness.lost >= LOST_IN_GLARE:
            return "overexposed", {"white": look.white, "white_limit": GLARE, "lost": likeness.lost}
        return "", {}

    def _veiled(self, view: View, look: Look, likeness: Likeness, mono_ns: int) -> _Finding:
        """Contrast went within seconds, although the edges are still there: something half transparent is before it."""
        if likeness.stable < FEW_EDGES or not view.strength:
            return "", {}
        share = view.contrast(look) / view.strength
        if share >= STRONG:
            self._strong_ns = mono_ns
        if share < FAINT and self._strong_ns is not None:
            if self._veil_ns is None:
                self._veil_ns = mono_ns
                self._veil_abrupt = mono_ns - self._strong_ns <= ABRUPT_S * _NS
            if self._veil_abrupt:
                return "covered", {"contrast": share, "contrast_limit": FAINT}
        else:
            self._veil_ns = None
        return "", {}

    # Over time

    def _settle(self, cause: Cause | Literal[""], evidence: dict[str, float], look: Look, mono_ns: int) -> None:
        """Tell what has lasted, and take back what has been over for as long."""
        hold_ns = self._options.hold_s * _NS
        if cause:
            self._fine_ns = None
            if self._trouble is None:
                self._trouble = _Trouble(mono_ns)
            self._trouble.causes.append(cause)
            self._trouble.fine = 0
            if mono_ns - self._trouble.since_ns >= hold_ns:
                rounded = {name: round(value, 3) for name, value in evidence.items()}
                self._verdict = Verdict(
                    self._trouble.cause, learning=False, since_ns=self._trouble.since_ns, evidence=rounded
                )
        else:
            if self._fine_ns is None:
                self._fine_ns = mono_ns
            if self._trouble is not None:
                self._trouble.fine += 1
                if self._trouble.fine >= FINE_LOOKS and not self._verdict.cause:
                    self._trouble = None
            if self._verdict.cause and mono_ns - self._fine_ns >= hold_ns:
                self._trouble = None
                self._verdict = Verdict("", learning=False, since_ns=self._fine_ns)
        if self._verdict.cause == "moved" and mono_ns - self._verdict.since_ns >= self._options.accept_s * _NS:
            self._add_view(look)


def _softness(view: View, look: Look) -> float:
    """Sharpness by what is usual; 0 where nothing sharp is left, 1 where the usual is not known."""
    if not view.sharpness:
        return 1.0
    return 0.0 if look.sharpness is None else look.sharpness / view.sharpness


def _soft(view: View, look: Look) -> _Finding:
    """Edges are less steep than they were, whatever their height: not merely darker, and not drowned in noise."""
    if view.contrast(look) < BRIGHT_ENOUGH * view.strength or (look.change or 0.0) > NOISIER * view.change + 1:
        return "", {}
    share = _softness(view, look)
    return ("blurred", {"sharpness": share, "sharpness_limit": SOFT}) if share < SOFT else ("", {})


def _shifted(view: View, look: Look, likeness: Likeness) -> _Finding:
    """Everywhere the edges are where they were, but for a step aside: turned and zoomed pictures too."""
    if likeness.stable < FEW_EDGES or likeness.alike >= IN_PLACE:
        return "", {}
    moved, cells = view.moved(look)
    if moved >= MOVED:
        return "moved", {"moved": moved, "moved_limit": MOVED, "shift": cells / GRID}
    return "", {}
