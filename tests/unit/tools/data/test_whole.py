"""Promises of what a classifier sees in training: as the device does, but for the change that is asked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from edgemass.detector import made_up_picture
from edgemass_tools.data.pictures import Pictures
from edgemass_tools.data.whole import Augment, Composer, changed

STILL = Augment(scale=(1.0, 1.0), stretch=0.0, turn=0.0, flip=0.0, recolor=0.0, grey=0.0, blur=0.0)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (480, 640)])
def test_a_picture_without_change_is_the_whole_as_the_device_stretches_it(size: tuple[int, int]) -> None:
    picture = cv2.GaussianBlur(made_up_picture(), (0, 0), 6)
    seen = changed(np.asarray(picture, np.uint8), size, STILL, np.random.default_rng(0))
    wanted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    assert seen.shape == (size[1], size[0], 3)
    assert np.abs(seen.astype(float) - wanted).mean() < 4


def test_a_mirrored_picture_is_the_same_from_the_right() -> None:
    picture = cv2.GaussianBlur(made_up_picture(), (0, 0), 6)
    flipped = msgspec.structs.replace(STILL, flip=1.0)
    one, other = (
        changed(np.asarray(picture, np.uint8), (64, 64), options, np.random.default_rng(0))
        for options in (STILL, flipped)
    )
    assert np.abs(one[:, ::-1].astype(float) - other).mean() < 1


def test_an_epoch_shows_every_picture_once_and_the_same_seed_the_same(tmp_path: Path) -> None:
    paths = []
    for number in range(6):
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), np.full((20, 20, 3), number * 40, np.uint8))

    def composer(epoch: int, count: int = 6, color: str = "GRAY") -> Composer:
        return Composer(
            pictures=Pictures(paths),
            class_id=tuple(range(6)),
            size=(16, 16),
            color=color,  # type: ignore[arg-type]
            augment=Augment(),
            seed=5,
            epoch=epoch,
            count=count,
        )

    first, again, other = composer(0), composer(0), composer(1)
    assert sorted(first[index][1] for index in range(6)) == list(range(6))
    assert [first[index][1] for index in range(6)] == [again[index][1] for index in range(6)]
    assert (first[3][0] == again[3][0]).all()
    assert [first[index][1] for index in range(6)] != [other[index][1] for index in range(6)]
    assert first[0][0].shape == (16, 16, 1)
    twice = composer(0, count=12)
    assert sorted(twice[index][1] for index in range(12)) == sorted([*range(6), *range(6)])
