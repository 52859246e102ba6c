"""Usual and remembered views: what is kept of them, in which order they go, and what of a picture has become soft."""

from __future__ import annotations

from dataclasses import replace

import cv2
import msgspec
import numpy as np
import pytest

from edgemass.frame import Luma
from edgemass.scene._look import take_look
from edgemass.scene._views import PER_BAND, Memory, StoredView, View, Views, as_view, restored, softened

SHAPE = (240, 320)


def picture(seed: int = 1, *, light: float = 1.0, sigma: float = 0.0) -> Luma:
    """Tiles with small ones in them. sigma: of a lens out of focus, in pixels."""
    rng = np.random.default_rng(seed)
    large = np.kron(rng.integers(40, 160, (12, 16)), np.ones((20, 20)))
    small = np.kron(rng.integers(0, 60, (120, 160)), np.ones((2, 2)))
    shown = np.asarray((large + small) * light, np.float32)
    if sigma:
        shown = np.asarray(cv2.GaussianBlur(shown, (0, 0), sigma), np.float32)
    return np.asarray(np.clip(shown, 0, 255), np.uint8)


def view(luma: Luma, *, noise: float = 1.0) -> View:
    look = take_look(luma)
    return as_view(look, look.grid, noise, 0.5)


def seen(light: float, seed: int) -> View:
    return view(picture(seed, light=light))


def memory(views: Views) -> Memory:
    return Memory(height=SHAPE[0], width=SHAPE[1], views=views.stored())


def test_views_of_a_band_push_out_the_one_that_was_not_seen_for_longest() -> None:
    views = Views()
    day = [seen(1.0, seed) for seed in range(PER_BAND + 1)]
    night = seen(0.15, 9)
    for each in (night, *day):
        views.keep(each)
    assert list(views) == [*reversed(day[1:]), night], "the night is another band"


def test_a_view_takes_the_place_of_the_one_that_it_resembles() -> None:
    views = Views()
    first, second, again = seen(1.0, 1), seen(1.0, 2), seen(0.95, 1)
    for each in (first, second, again):
        views.keep(each)
    assert list(views) == [again, second]


def test_what_was_remembered_is_there_after_a_restart_in_the_same_order() -> None:
    views = Views()
    for light, seed in ((1.0, 1), (0.15, 1), (1.0, 2)):
        views.keep(seen(light, seed))
    text = msgspec.json.encode(memory(views))
    assert len(text) < 65536
    back = list(restored(msgspec.json.decode(text, type=Memory)))
    assert len(back) == len(list(views))
    for before, after in zip(views, back, strict=True):
        assert np.abs(before.grid - after.grid).max() <= 0.5
        assert (before.steps == after.steps).all()
        assert (before.level, before.noise, before.contrast, before.changed) == (
            after.level,
            after.noise,
            after.contrast,
            after.changed,
        )


@pytest.mark.parametrize(
    "damage",
    [{"rows": 3}, {"columns": 0}, {"cells": b""}, {"steps": b"123"}, {"rows": -1, "columns": -1}],
)
def test_a_damaged_view_is_left_out_and_the_others_stay(damage: dict[str, object]) -> None:
    views = Views()
    views.keep(seen(1.0, 1))
    views.keep(seen(1.0, 2))
    whole = memory(views)
    broken: StoredView = msgspec.structs.replace(whole.views[0], **damage)
    assert len(list(restored(msgspec.structs.replace(whole, views=(broken, whole.views[1]))))) == 1
    assert not restored(msgspec.structs.replace(whole, height=0))
    assert not restored(msgspec.structs.replace(whole, width=SHAPE[1] * 2))


@pytest.mark.parametrize("field", ["low", "high", "level", "noise", "contrast", "changed", "saturated", "steps"])
def test_a_view_with_a_number_that_cannot_be_is_left_out(field: str) -> None:
    views = Views()
    views.keep(seen(1.0, 1))
    whole = memory(views).views[0]
    value = np.full(len(whole.steps) // 4, np.nan, "<f4").tobytes() if field == "steps" else -1e9
    broken = msgspec.structs.replace(whole, **{field: value})
    assert not restored(Memory(height=SHAPE[0], width=SHAPE[1], views=(broken,)))


def test_a_view_follows_another_by_the_share_that_is_asked() -> None:
    one, other = seen(1.0, 1), seen(0.5, 1)
    half = one.towards(other, 0.5)
    assert half.level == pytest.approx((one.level + other.level) / 2)
    assert np.allclose(half.grid, (one.grid + other.grid) / 2, atol=1e-3)
    assert (one.towards(other, 0.0).grid == one.grid).all()


def test_a_lens_out_of_focus_softens_and_another_light_or_noise_does_not() -> None:
    usual = view(picture())
    noisy = np.random.default_rng(2).normal(0, 6, SHAPE)
    for harmless in (
        view(picture()),
        view(picture(light=0.4)),
        view(np.asarray(np.clip(picture() + noisy, 0, 255), np.uint8), noise=6.0),
    ):
        assert (softened(usual, harmless) or 0.0) < 0.1
    assert (softened(usual, view(picture(sigma=2))) or 0.0) > 0.9


def test_a_picture_without_anything_small_in_it_cannot_become_soft() -> None:
    flat = view(np.full(SHAPE, 90, np.uint8))
    assert softened(flat, flat) is None
    assert softened(replace(view(picture()), noise=60.0), flat) is None, "it would be hidden by noise"
