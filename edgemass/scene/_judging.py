"""Which cause one look speaks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgemass.config.integrity import Cause
from edgemass.scene._look import Look
from edgemass.scene._matching import Match, broadly_alike
from edgemass.scene._views import View

PRESENT = 0.25  # fraction of blocks that must be as usual; by chance it is a tenth
ELSEWHERE, OF_THE_REST = 0.25, 0.5  # fraction of blocks that must be found elsewhere; of those not as usual
FLAT = 0.1  # fraction of blocks with anything to be seen in them
DARK = 40.0  # brightness that one pixel in a hundred exceeds
GLARE, GLARE_ALONE = 0.5, 0.8  # saturated fraction of the picture; without a usual view to compare with
SOFT_SHARE = 0.5  # of the picture
SOFT_WITH_VEIL = 0.2  # likewise, of one that lost its contrast too: a veil dims small and large alike
VEIL, VEIL_LEVEL = 0.5, 0.6  # of the usual contrast for its brightness; of the usual brightness
BLACK_LEVEL = 16.0  # of a limited-range picture
BROADLY = 0.6  # correlation of two pictures out of focus that show the same
LIGHTER = 40.0  # steps of brightness by which a flat picture must be lighter than a usual flat one to be another
STILL = 0.04  # fraction of places that may change in a frozen picture: a clock is written over it
STILLER = 0.25  # of what usually changes
NEW_BEGINNING = 0.5  # likewise, for once
LIVELY = 0.12  # fraction of places that must usually change for stillness to mean anything


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known when a look is judged.

    look: the present one; now: what it shows, as a view; structure: fraction of blocks with anything to be seen.
    usual: the view to be expected; None while there is none. match: with the usual or a remembered view, whichever is
        more alike; None where there is none with enough to compare. softened: see `_views.softened`.
    still_s: for how long next to nothing has changed; still_limit_s: from when on that is a frozen picture.
    """

    look: Look
    now: View
    structure: float
    usual: View | None
    match: Match | None
    softened: float | None
    still_s: float
    still_limit_s: float

    @property
    def present(self) -> bool:
        """Whether what is seen is, for all that can be told, a known view."""
        return self.match is None or (self.match.same >= PRESENT and not self.elsewhere)

    @property
    def elsewhere(self) -> bool:
        """Whether what was seen is seen at another place."""
        found = self.match
        return found is not None and found.displaced >= max(ELSEWHERE, OF_THE_REST * (1 - found.same))

    @property
    def soft(self) -> bool:
        return self.softened is not None and self.softened >= SOFT_SHARE

    @property
    def veiled(self) -> bool:
        """Whether the contrast is gone, and it is not darkness that took it."""
        usual, now = self.usual, self.now
        if usual is None:
            return False
        return now.level >= VEIL_LEVEL * usual.level and _clearness(now) < VEIL * _clearness(usual)

    def is_broadly_usual(self) -> bool:
        """Whether this one look, out of focus, is the usual view; a cloth is not, however much of the view is left in
        what the last looks have in common.
        """
        return self.usual is None or broadly_alike(self.usual.grid, self.look.grid) >= BROADLY


def judge(found: Findings) -> Cause | None:
    """The cause that a picture speaks for; None = it is as it should be."""
    if found.usual is None and found.match is None:
        return _judge_alone(found)
    if not found.present:
        return _judge_other_view(found)
    return _judge_known_view(found)


def _judge_alone(found: Findings) -> Cause | None:
    """Nothing is known of the camera yet: only a picture without anything in it is wrong."""
    if found.look.saturated >= GLARE_ALONE:
        return "overexposed"
    if found.structure >= FLAT:
        return None
    return "black" if found.look.light_end < DARK else "covered"


def _judge_other_view(found: Findings) -> Cause:
    if found.look.saturated >= GLARE:
        return "overexposed"
    if found.structure < FLAT and found.look.light_end < DARK:
        return "black"
    if found.elsewhere and not found.soft:
        return "moved"
    if found.soft and found.is_broadly_usual():
        return "blurred"
    if found.structure < FLAT or found.soft:
        return "covered"
    return "moved"


def _judge_known_view(found: Findings) -> Cause | None:
    usual, now = found.usual, found.now
    if usual is None:
        return None
    if now.saturated >= GLARE and usual.saturated < GLARE / 2:
        return "overexposed"
    if found.match is None:
        return _judge_flat(found, usual)
    if found.still_s >= found.still_limit_s and usual.changed >= LIVELY:
        return "frozen"
    return _judge_contrast(found)


def _judge_contrast(found: Findings) -> Cause | None:
    """The usual view is there; what is in it may be less clear than usual."""
    if not found.soft and not found.veiled:
        return None
    soft = found.soft or (found.softened or 0.0) >= SOFT_WITH_VEIL
    if soft and found.is_broadly_usual():
        return "blurred"
    return "covered" if found.veiled else None  # else something stands before a part of it


def _judge_flat(found: Findings, usual: View) -> Cause | None:
    """The usual view has nothing in it, as on a dark night: only something light before it can be told."""
    if found.structure < FLAT and found.look.level - usual.level >= LIGHTER:
        return "covered"
    return None


def is_still(changed: float, usual: View | None) -> bool:
    """Whether next to nothing has changed from one look to the next. changed: fraction of places."""
    return changed < (STILL if usual is None else min(STILL, STILLER * usual.changed))


def is_stiller(changed: float, usual: View | None) -> bool:
    """Whether less has changed than usual: an encoder that begins anew with the same picture."""
    return usual is not None and changed < NEW_BEGINNING * usual.changed


def _clearness(view: View) -> float:
    """Contrast for how bright it is: light changes both, a veil does not."""
    return view.contrast / max(view.level - BLACK_LEVEL, BLACK_LEVEL)


def evidence(found: Findings, changed: float) -> dict[str, float]:
    """What was measured and the limits it is held to, by name; changed: fraction of places."""
    look, usual, match = found.look, found.usual, found.match
    numbers = {
        "brightness": look.level,
        "light_end": look.light_end,
        "light_end_limit": DARK,
        "saturated": look.saturated,
        "saturated_limit": GLARE_ALONE if usual is None else GLARE,
        "structure": found.structure,
        "structure_limit": FLAT,
        "changed": changed,
        "still_s": found.still_s,
        "still_limit_s": found.still_limit_s,
    }
    if usual is not None:
        numbers |= {
            "clearness": _clearness(found.now),
            "clearness_limit": VEIL * _clearness(usual),
        }
    if found.softened is not None:
        numbers |= {"softened": found.softened, "softened_limit": SOFT_SHARE}
    if match is not None:
        numbers |= {
            "same": match.same,
            "same_limit": PRESENT,
            "displaced": match.displaced,
            "displaced_limit": ELSEWHERE,
            "right": match.right,
            "down": match.down,
        }
    return {name: round(value, 4) for name, value in numbers.items()}
