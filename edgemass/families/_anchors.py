"""Anchors of SSD detectors: boxes on a grid that the network's outputs move and stretch.

All are float32 (anchors, 4): centre y, centre x, height, width, as fractions of the model's picture; ordered as the
heads are flattened: level by level from fine to coarse, row by row, column by column, shape by shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgemass.families._candidates import check_rows
from edgemass.tensors import FloatArray

Grid = tuple[int, int]
"""Rows and columns of one feature map."""

SSD_ASPECT_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
"""Width over height; 0.3333 and not 1/3, as the TensorFlow object detection API's pipeline configurations have it."""

FPN_LEVELS = range(3, 8)  # strides 8 to 128: ssd_*_fpn pipeline configurations of the TensorFlow object detection API


def ssd_grids(width: int, height: int) -> tuple[Grid, ...]:
    """Feature maps of MobileNet SSDs: strides 16 and 32, then halved four times (300x300: 19, 10, 5, 3, 2, 1)."""
    rows, columns = math.ceil(height / 16), math.ceil(width / 16)
    grids = [(rows, columns)]
    for _ in range(5):
        rows, columns = math.ceil(rows / 2), math.ceil(columns / 2)
        grids.append((rows, columns))
    return tuple(grids)


def fpn_grids(width: int, height: int) -> tuple[Grid, ...]:
    """Feature maps of feature pyramids: strides 8 to 128."""
    return tuple((math.ceil(height / 2**level), math.ceil(width / 2**level)) for level in FPN_LEVELS)


def ssd_anchors(
    grids: Sequence[Grid],
    *,
    min_scale: float = 0.2,
    max_scale: float = 0.95,
    aspect_ratios: Sequence[float] = SSD_ASPECT_RATIOS,
    reduce_lowest: bool = True,
) -> FloatArray:
    """Anchors whose scale grows linearly from level to level.

    As create_ssd_anchors and MultipleGridAnchorGenerator of the TensorFlow object detection API: every level has one
    anchor per aspect ratio and a square one of a scale between its own and the next; the lowest has three if
    `reduce_lowest`.
    """
    steps = max(1, len(grids) - 1)
    scales = [min_scale + (max_scale - min_scale) * level / steps for level in range(len(grids))] + [1.0]
    levels = []
    for level, grid in enumerate(grids):
        if level == 0 and reduce_lowest:
            shapes = [(0.1, 1.0), (scales[0], 2.0), (scales[0], 0.5)]
        else:
            shapes = [(scales[level], ratio) for ratio in aspect_ratios]
            shapes.append((math.sqrt(scales[level] * scales[level + 1]), 1.0))
        sizes = [(scale / math.sqrt(ratio), scale * math.sqrt(ratio)) for scale, ratio in shapes]
        levels.append(_tile(grid, (1 / grid[0], 1 / grid[1]), (0.5, 0.5), sizes))
    return np.concatenate(levels)


def fpn_anchors(width: int, height: int) -> FloatArray:
    """Anchors whose size is a multiple of the level's stride: four times, two sizes an octave, three shapes each.

    As MultiscaleGridAnchorGenerator of the TensorFlow object detection API, on levels 3 to 7: a grid that does not
    divide the picture evenly begins at the picture's corner, else half a stride inside.
    """
    levels = []
    for level, grid in zip(FPN_LEVELS, fpn_grids(width, height), strict=True):
        stride = 2**level
        sizes = [
            (side / math.sqrt(ratio) / height, side * math.sqrt(ratio) / width)
            for ratio in (1.0, 2.0, 0.5)
            for side in (4.0 * stride, 4.0 * stride * math.sqrt(2))
        ]
        start = (0.5 if height % stride == 0 else 0.0, 0.5 if width % stride == 0 else 0.0)
        levels.append(_tile(grid, (stride / height, stride / width), start, sizes))
    return np.concatenate(levels)


def ultraface_anchors(width: int, height: int) -> FloatArray:
    """Squares of fixed sizes in pixels, cut to the picture's size; four levels of strides 8 to 64.

    As generate_priors of Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB with min_boxes of its fd_config.py.
    """
    levels = []
    for stride, sides in ((8, (10, 16, 24)), (16, (32, 48)), (32, (64, 96)), (64, (128, 192, 256))):
        grid = (math.ceil(height / stride), math.ceil(width / stride))
        sizes = [(min(side / height, 1.0), min(side / width, 1.0)) for side in sides]
        levels.append(_tile(grid, (1 / grid[0], 1 / grid[1]), (0.5, 0.5), sizes))
    return np.concatenate(levels)


def point_anchors(width: int, height: int, strides: Sequence[int], per_layer: int) -> FloatArray:
    """Centres without a shape (height = width = 1) for detectors that predict sizes directly.

    As SsdAnchorsCalculator of MediaPipe with fixed_anchor_size: neighbouring layers of one stride share a feature map,
    so their anchors stand side by side in each of its cells.
    """
    levels = []
    position = 0
    while position < len(strides):
        stride = strides[position]
        layers = 1
        while position + layers < len(strides) and strides[position + layers] == stride:
            layers += 1
        position += layers
        grid = (math.ceil(height / stride), math.ceil(width / stride))
        check_rows(grid[0] * grid[1] * layers * per_layer)
        levels.append(_tile(grid, (1 / grid[0], 1 / grid[1]), (0.5, 0.5), [(1.0, 1.0)] * (layers * per_layer)))
    return np.concatenate(levels)


def _tile(
    grid: Grid, step: tuple[float, float], start: tuple[float, float], sizes: Sequence[tuple[float, float]]
) -> FloatArray:
    """The same shapes in every cell of one grid.

    step: between cells, as a fraction of the picture (y, x). start: of the first centre, in steps. sizes: (height,
    width).
    """
    rows, columns = grid
    check_rows(rows * columns * len(sizes) if rows > 0 and columns > 0 else 0)
    y = (np.arange(rows) + start[0]) * step[0]
    x = (np.arange(columns) + start[1]) * step[1]
    boxes = np.empty((rows, columns, len(sizes), 4), np.float64)
    boxes[..., 0] = y[:, None, None]
    boxes[..., 1] = x[None, :, None]
    boxes[..., 2:] = np.asarray(sizes)
    return boxes.reshape(-1, 4).astype(np.float32)
