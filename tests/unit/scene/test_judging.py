"""Which cause a look speaks for, by what is known when it is judged."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.frame import Luma
from edgemass.scene._judging import STILL, Findings, evidence, is_still, judge
from edgemass.scene._look import take_look
from edgemass.scene._matching import compare, structure
from edgemass.scene._views import FEW_BLOCKS, View, as_view, softened
from tests.unit.scene.test_views import SHAPE, picture

CHANGED = 0.5


def found(luma: Luma, usual: Luma | None = None, *, still_s: float = 0.0, before: float = 0.0) -> Findings:
    """What a look finds. before: share of the usual picture that is left in what the last looks have in common."""
    look = take_look(luma)
    known: View | None = None
    recent = look.grid
    if usual is not None:
        first = take_look(usual)
        known = as_view(first, first.grid, 1.0, CHANGED)
        recent = np.asarray(look.grid + np.float32(before) * (first.grid - look.grid), np.float32)
    now = as_view(look, recent, 1.0, CHANGED)
    match = None if known is None else compare(known.detailed, now.detailed, 0.5)
    return Findings(
        look=look,
        now=now,
        structure=structure(now.detailed, 0.5),
        usual=known,
        match=None if match is None or match.blocks < FEW_BLOCKS else match,
        softened=None if known is None else softened(known, now),
        still_s=still_s,
        still_limit_s=5.0,
    )


def flat(level: int) -> Luma:
    grains = np.random.default_rng(3).normal(level, 1, SHAPE)
    return np.asarray(np.clip(np.rint(grains), 0, 255), np.uint8)


def half_hidden() -> Luma:
    shown = picture().copy()
    shown[:, : SHAPE[1] // 2] = 80
    return shown


def veiled(share: float) -> Luma:
    return np.asarray(picture() * (1 - share) + 130 * share, np.uint8)


def shifted(pixels: int) -> Luma:
    return np.roll(picture(), pixels, axis=1)


def glaring() -> Luma:
    shown = picture().copy()
    shown[:, SHAPE[1] // 3 :] = 255
    return shown


@pytest.mark.parametrize(
    ("luma", "cause"),
    [
        (picture(), None),
        (flat(3), "black"),
        (flat(90), "covered"),
        (flat(255), "overexposed"),
        (picture(light=0.1), None),
    ],
)
def test_while_nothing_is_known_only_a_picture_without_anything_in_it_is_wrong(luma: Luma, cause: str | None) -> None:
    assert judge(found(luma)) == cause


@pytest.mark.parametrize(
    ("luma", "cause"),
    [
        (picture(), None),
        (picture(light=0.5), None),
        (half_hidden(), None),
        (flat(3), "black"),
        (flat(90), "covered"),
        (flat(200), "covered"),
        (veiled(0.7), "covered"),
        (veiled(0.3), None),
        (flat(255), "overexposed"),
        (glaring(), "overexposed"),
        (picture(sigma=2), "blurred"),
        (picture(sigma=6), "blurred"),
        (shifted(16), "moved"),
        (shifted(80), "moved"),
        (picture(2), "moved"),
    ],
)
def test_against_the_usual_view_each_mishap_has_its_cause(luma: Luma, cause: str | None) -> None:
    assert judge(found(luma, picture())) == cause


@pytest.mark.parametrize("left", [0.3, 0.1, 0.03])
def test_a_cloth_is_no_blur_however_much_of_the_view_is_left_in_the_average(left: float) -> None:
    assert judge(found(flat(90), picture(), before=left)) == "covered"


def test_a_picture_that_stays_is_frozen_only_where_it_usually_changes() -> None:
    assert judge(found(picture(), picture(), still_s=4.9)) is None
    stays = found(picture(), picture(), still_s=5.0)
    assert judge(stays) == "frozen"
    assert stays.usual is not None
    object.__setattr__(stays.usual, "changed", 0.05)
    assert judge(stays) is None


def test_a_usual_night_without_anything_to_be_seen_is_no_trouble_but_something_light_before_it_is() -> None:
    assert judge(found(flat(8), flat(8))) is None
    assert judge(found(flat(120), flat(8))) == "covered"
    assert judge(found(picture(), flat(8))) is None, "a lamp goes on"


def test_stillness_is_held_to_what_usually_changes() -> None:
    view = found(picture(), picture()).now
    assert is_still(0.01, None)
    assert not is_still(STILL, None)
    assert is_still(0.03, view)
    quiet = as_view(take_look(picture()), take_look(picture()).grid, 1.0, 0.04)
    assert not is_still(0.03, quiet)


def test_the_evidence_has_the_numbers_that_decided_beside_their_limits() -> None:
    numbers = evidence(found(flat(90), picture()), 0.5)
    assert {name.removesuffix("_limit") for name in numbers if name.endswith("_limit")} <= numbers.keys()
    assert numbers["structure"] < numbers["structure_limit"]
    assert numbers["same"] < numbers["same_limit"]
