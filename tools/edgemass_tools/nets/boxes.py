"""Boxes between two stages: how they are told relative to others, cut out of maps, and thinned.

Each of the operators that ONNX has too is a function of PyTorch that becomes that operator in an export, so that both
answer the same: `pool` is RoiAlign, `suppress` is NonMaxSuppression, `best` is TopK.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LARGEST_GROWTH = math.log(1000 / 16)
"""Of a side, logarithm; keeps exp() finite, as Detectron has it."""
EPSILON = 1e-9


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Deltas (..., 4) from anchors to boxes, both corners (..., 4): shift of the centre in sides, log of the growth.

    Ren et al., Faster R-CNN (NeurIPS 2015), equation 2.
    """
    side, middle = _side(anchors), _middle(anchors)
    return torch.cat([(_middle(boxes) - middle) / side, torch.log(_side(boxes) / side)], -1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """The boxes again; a side grows at most 62-fold."""
    side = _side(anchors)
    middle = _middle(anchors) + deltas[..., :2] * side
    half = side * torch.exp(deltas[..., 2:].clamp(max=LARGEST_GROWTH)) / 2
    return torch.cat([middle - half, middle + half], -1)


def _side(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-3)


def _middle(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def overlaps(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and share of `one` that lies in `other`: (..., k, m) of corners (..., k, 4) and (..., m, 4)."""
    shared: Tensor | float = 1.0
    for axis in (0, 1):  # one by one: the tables are large
        low = torch.maximum(one[..., :, None, axis], other[..., None, :, axis])
        high = torch.minimum(one[..., :, None, axis + 2], other[..., None, :, axis + 2])
        shared = shared * (high - low).clamp_(min=0)
    assert isinstance(shared, Tensor)
    first, second = ((boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (one, other))
    union = (first[..., :, None] + second[..., None, :]).sub_(shared).clamp_(min=EPSILON)
    return shared / union, shared / first[..., :, None].clamp(min=EPSILON)


def kept(boxes: Tensor, iou: float) -> Tensor:
    """Which boxes (n, k, 4), best first, no better one of the same picture covers by more than `iou`: bool (n, k)."""
    covers = overlaps(boxes, boxes)[0] > iou
    alive = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for place in range(boxes.shape[1] - 1):
        alive[:, place + 1 :] &= ~(covers[:, place, place + 1 :] & alive[:, place, None])
    return alive


def pool(features: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
    """What lies under boxes, as size x size cells, each the mean of 2x2 points between four of the map (RoIAlign).

    features: (n, c, h, w). boxes: (n, k, 4) corners in pixels, inside of the picture. scale: cells of the map a pixel.
    Returns (n, k, c, size, size). He et al., Mask R-CNN (ICCV 2017), half a pixel moved as later versions do.
    """
    if torch.onnx.is_in_onnx_export():
        found: Tensor = _Pool.apply(features, boxes, size, scale)  # type: ignore[no-untyped-call]
        return found
    return _sampled(features, boxes, size, scale)


def suppress(boxes: Tensor, scores: Tensor, iou: float, most: int, least_score: float) -> Tensor:
    """Non-maximum suppression of one picture, per class.

    boxes: (k, 4). scores: (classes, k); not above `least_score` is left out. most: per class.
    Returns int64 (found, 2): class and place of the box, class by class, best first.
    """
    found: Tensor = _Suppress.apply(boxes, scores, iou, most, least_score)  # type: ignore[no-untyped-call]
    return found


def best(scores: Tensor, most: int) -> Tensor:
    """Places of the `most` largest of (k,), or of all where there are fewer, largest first."""
    found: Tensor = _Best.apply(scores, most)  # type: ignore[no-untyped-call]
    return found


POINTS = 2
"""Along each side of a cell of `pool`."""


class _Pool(torch.autograd.Function):
    """For the export, of one picture."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:  # noqa: ARG004
        return _sampled(features, boxes, size, scale)

    @staticmethod
    def symbolic(g: Any, features: Any, boxes: Any, size: int, scale: float) -> Any:
        flat = g.op("Squeeze", boxes, g.op("Constant", value_t=torch.tensor([0])))
        count = g.op("Slice", g.op("Shape", flat), *_numbers(g, [0], [1]))
        picture = g.op("ConstantOfShape", count, value_t=torch.tensor([0]))
        found = g.op(
            "RoiAlign",
            features,
            flat,
            picture,
            coordinate_transformation_mode_s="half_pixel",
            mode_s="avg",
            output_height_i=size,
            output_width_i=size,
            sampling_ratio_i=POINTS,
            spatial_scale_f=scale,
        )
        return g.op("Unsqueeze", found, g.op("Constant", value_t=torch.tensor([0])))


def _sampled(features: Tensor, boxes: Tensor, size: int, scale: float) -> Tensor:
    n, k = boxes.shape[:2]
    height, width = features.shape[2:]
    share = (torch.arange(size * POINTS, device=boxes.device) + 0.5) / (size * POINTS)
    # In grid_sample -1 and 1 are the outer edges of the map, as they are those of the picture.
    edges = torch.tensor([width, height], device=boxes.device) / (2 * scale)
    low, side = boxes[..., None, :2] / edges - 1, (boxes[..., None, 2:] - boxes[..., None, :2]) / edges
    places = low + side * share[:, None]  # (n, k, points, 2)
    x, y = places[:, :, None, :, 0], places[:, :, :, None, 1]
    grid = torch.stack([x.expand(-1, -1, size * POINTS, -1), y.expand(-1, -1, -1, size * POINTS)], -1).reshape(
        n, k * size * POINTS, size * POINTS, 2
    )
    found = functional.grid_sample(
        features.float(), grid.float(), mode="bilinear", padding_mode="border", align_corners=False
    )
    found = functional.avg_pool2d(found, POINTS)
    return found.reshape(n, -1, k, size, size).transpose(1, 2)


class _Suppress(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, iou: float, most: int, least_score: float) -> Tensor:  # noqa: ARG004
        rows = []
        for class_id, own in enumerate(scores):
            order = own.argsort(descending=True, stable=True)
            order = order[own[order] > least_score]
            places = order[kept(boxes[order][None], iou)[0]][:most]
            rows.append(torch.stack([torch.full_like(places, class_id), places], 1))
        return torch.cat(rows)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, iou: float, most: int, least_score: float) -> Any:
        first = g.op("Constant", value_t=torch.tensor([0]))
        found = g.op(
            "NonMaxSuppression",
            g.op("Unsqueeze", boxes, first),
            g.op("Unsqueeze", scores, first),
            g.op("Constant", value_t=torch.tensor([most])),
            g.op("Constant", value_t=torch.tensor([iou])),
            g.op("Constant", value_t=torch.tensor([least_score])),
        )
        return g.op("Slice", found, *_numbers(g, [1], [3], [1]))


class _Best(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, most: int) -> Tensor:  # noqa: ARG004
        return scores.topk(min(most, scores.shape[0])).indices

    @staticmethod
    def symbolic(g: Any, scores: Any, most: int) -> Any:
        count = g.op("Min", g.op("Shape", scores), g.op("Constant", value_t=torch.tensor([most])))
        return g.op("TopK", scores, count, axis_i=0, outputs=2)[1]


def _numbers(g: Any, *lists: list[int]) -> list[Any]:
    return [g.op("Constant", value_t=torch.tensor(numbers)) for numbers in lists]
