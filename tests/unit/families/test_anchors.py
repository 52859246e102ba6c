"""Anchors against the published recipes, written out as loops."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edgemass.families._anchors import fpn_anchors, point_anchors, ssd_anchors, ssd_grids, ultraface_anchors


def test_ssd_anchors_follow_the_published_recipe_cell_by_cell() -> None:
    grids = [19, 10, 5, 3, 2, 1]  # SSD-MobileNet 300x300
    scales = [0.2 + 0.15 * level for level in range(6)] + [1.0]
    wanted = []
    for level, side in enumerate(grids):
        if level == 0:
            boxes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            boxes = [(scales[level], ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 0.3333)]
            boxes += [(math.sqrt(scales[level] * scales[level + 1]), 1.0)]
        for row in range(side):
            for column in range(side):
                for scale, ratio in boxes:
                    wanted.append(
                        [
                            (row + 0.5) / side,
                            (column + 0.5) / side,
                            scale / math.sqrt(ratio),
                            scale * math.sqrt(ratio),
                        ]
                    )

    found = ssd_anchors(ssd_grids(300, 300))

    np.testing.assert_allclose(found, np.array(wanted), atol=1e-6)


@pytest.mark.parametrize(("width", "height", "count"), [(300, 300, 1917), (320, 320, 2034)])
def test_ssd_anchors_of_published_sizes_have_their_published_number(width: int, height: int, count: int) -> None:
    assert len(ssd_anchors(ssd_grids(width, height))) == count


@pytest.mark.parametrize(("side", "count"), [(320, 12804), (640, 51150)])
def test_fpn_anchors_of_published_sizes_have_their_published_number(side: int, count: int) -> None:
    assert len(fpn_anchors(side, side)) == count


def test_fpn_anchors_lie_as_the_published_generator_lays_them() -> None:
    found = fpn_anchors(320, 320)

    first = [4 / 320, 4 / 320, 32 / 320, 32 / 320]  # stride 8 divides 320: half a stride inside, four strides large
    second = [4 / 320, 4 / 320, 32 * math.sqrt(2) / 320, 32 * math.sqrt(2) / 320]
    third = [4 / 320, 4 / 320, 32 / math.sqrt(2) / 320, 32 * math.sqrt(2) / 320]  # twice as wide as high
    np.testing.assert_allclose(found[:3], [first, second, third], atol=1e-6)
    coarsest = found[-9 * 6 :]  # stride 128 does not divide 320: three cells that begin at the corner
    np.testing.assert_allclose(coarsest[0, :2], [0, 0], atol=1e-7)
    np.testing.assert_allclose(coarsest[-1, :2], [256 / 320, 256 / 320], atol=1e-6)


@pytest.mark.parametrize(("width", "height", "count"), [(320, 240, 4420), (640, 480, 17640)])
def test_ultraface_anchors_have_their_published_number(width: int, height: int, count: int) -> None:
    assert len(ultraface_anchors(width, height)) == count


def test_ultraface_anchors_are_squares_in_pixels_cut_to_the_picture() -> None:
    found = ultraface_anchors(320, 240) * np.array([240, 320, 240, 320], np.float32)

    np.testing.assert_allclose(found[:3], [[4, 4, 10, 10], [4, 4, 16, 16], [4, 4, 24, 24]], atol=1e-3)
    np.testing.assert_allclose(found[-1], [210, 288, 240, 256], atol=1e-3)  # 256 pixels are more than its height


@pytest.mark.parametrize(
    ("side", "strides", "per_layer", "count"),
    [
        (128, (8, 16, 16, 16), 2, 896),  # BlazeFace, short range
        (256, (16, 32, 32, 32), 2, 896),  # back camera
        (192, (4,), 1, 2304),  # full range
        (192, (8, 16, 16, 16), 2, 2016),  # palms
        (224, (8, 16, 32, 32, 32), 2, 2254),  # bodies
    ],
)
def test_point_anchors_have_mediapipes_number(side: int, strides: tuple[int, ...], per_layer: int, count: int) -> None:
    assert len(point_anchors(side, side, strides, per_layer)) == count


def test_point_anchors_of_layers_with_one_stride_share_their_cells() -> None:
    found = point_anchors(128, 128, (8, 16, 16, 16), 2)

    assert found[:2].tolist() == [[0.03125, 0.03125, 1, 1]] * 2
    assert found[512:518].tolist() == [[0.0625, 0.0625, 1, 1]] * 6
    assert found[518].tolist() == [0.0625, 0.1875, 1, 1]


@pytest.mark.assets
def test_ssd_anchors_are_those_of_the_real_file_up_to_its_8_bits(assets: Path) -> None:
    real = np.load(assets / "detectors" / "ssd_mobilenet_v1_coco_anchors_ycxchw.npy")
    step = float(np.diff(np.unique(real)).min())  # the file's anchors are quantized: multiples of one step

    found = ssd_anchors(ssd_grids(300, 300))

    np.testing.assert_allclose(np.rint(found / step) * step, real, atol=1e-5)
