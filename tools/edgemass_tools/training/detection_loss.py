"""Loss of the one-stage detector: which cells answer for which object, and how well they do.

Assignment: task-aligned (TOOD, Feng et al., ICCV 2021), with a prior that prefers the level whose cells fit the
object's size. Classes: quality focal loss (Li et al., NeurIPS 2020), target = quality of the box x score of the
annotator. Boxes: GIoU (Rezatofighi et al., CVPR 2019) and a smooth L1 of the distances, which still pulls where boxes
do not touch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from edgemass_tools.data.loading import Batch

CELLS_PER_OBJECT = 4.0
"""Cells over the square root of an object's area on the level that is meant for it."""
REACH = 0.75
"""Cells from its centre in which a small object may be answered for, where it holds no cell's centre."""
EPSILON = 1e-9


class LossOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """top: cells that answer for an object. alignment: power of IoU in the choice. prior: how strict about levels.

    soft: the annotator's score is the target, and what was stored as ignored with a score counts with it
        (distillation); else every box is as good as any other.
    """

    top: int = 9
    alignment: float = 4.0
    prior: float = 0.6
    gain_box: float = 2.0
    gain_distance: float = 0.2
    soft: bool = False


@dataclass(frozen=True)
class Answer:
    """Heads of all levels, flat. logits: (n, cells, classes). distances: (n, cells, 4) in strides.

    centre: (cells, 2) pixels. stride: (cells,) pixels.
    """

    logits: Tensor
    distances: Tensor
    centre: Tensor
    stride: Tensor

    def boxes(self) -> Tensor:
        """Corners (n, cells, 4) in pixels."""
        far = self.distances * self.stride[None, :, None]
        return torch.cat([self.centre - far[..., :2], self.centre + far[..., 2:]], -1)


def flatten(levels: Sequence[tuple[Tensor, Tensor]], strides: Sequence[int]) -> Answer:
    """Maps (n, channels, h, w) of each level -> one table."""
    logits, distances, centres, steps = [], [], [], []
    for (classes, far), stride in zip(levels, strides, strict=True):
        rows, columns = classes.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centre = (torch.stack([x, y], -1).reshape(-1, 2).float() + 0.5) * stride
        logits.append(classes.float().flatten(2).transpose(1, 2))
        distances.append(far.float().flatten(2).transpose(1, 2))
        centres.append(centre.to(classes.device))
        steps.append(torch.full((rows * columns,), float(stride), device=classes.device))
    return Answer(torch.cat(logits, 1), torch.cat(distances, 1), torch.cat(centres), torch.cat(steps))


@dataclass(frozen=True)
class Targets:
    """quality: (n, cells, classes) wanted probability. counted: (n, cells), 0 where nothing is said.

    picture, cell, boxes, weight: (k,), (k,), (k, 4), (k,): which cells answer for which box.
    """

    quality: Tensor
    counted: Tensor
    picture: Tensor
    cell: Tensor
    boxes: Tensor
    weight: Tensor


def loss(answer: Answer, batch: Batch, options: LossOptions) -> dict[str, Tensor]:
    """Named parts; their sum is what is made small."""
    boxes = answer.boxes()
    with torch.no_grad():
        targets = assign(answer, boxes.detach(), batch, options)
    total = targets.weight.sum().clamp(min=1.0)
    probability = answer.logits.detach().sigmoid()
    focus = (probability - targets.quality).abs().square() * targets.counted[..., None]
    entropy = functional.binary_cross_entropy_with_logits(answer.logits, targets.quality, reduction="none")
    found = boxes[targets.picture, targets.cell]
    overlap = giou(found, targets.boxes)
    stride = answer.stride[targets.cell][:, None]
    far = functional.smooth_l1_loss(found / stride, targets.boxes / stride, reduction="none", beta=1.0).mean(1)
    return {
        "classes": (focus * entropy).sum() / total,
        "boxes": options.gain_box * ((1 - overlap) * targets.weight).sum() / total,
        "distances": options.gain_distance * (far * targets.weight).sum() / total,
    }


def assign(answer: Answer, boxes: Tensor, batch: Batch, options: LossOptions) -> Targets:
    """Choose the cells that answer for each object.

    boxes: (n, cells, 4), what is predicted now.
    """
    given = batch.class_id >= 0
    real = given & (~batch.ignore | ((batch.score < 1) & options.soft))
    score = batch.score if options.soft else torch.ones_like(batch.score)
    picture, item, cell = _candidates(answer, batch.boxes, real)
    truth, class_id = batch.boxes[picture, item], batch.class_id[picture, item]
    overlap = iou(boxes[picture, cell], truth)
    probability = answer.logits[picture, cell, class_id].sigmoid()
    close = overlap.clamp(min=1e-3) ** options.alignment
    fit = probability.sqrt() * close * _prior(answer, truth, cell, options.prior) + EPSILON

    count = answer.logits.shape[1]
    owner = picture * batch.class_id.shape[1] + item
    kept = _best(owner, fit, options.top)
    kept = kept[_best((picture * count + cell)[kept], fit[kept], 1)]  # a cell answers for the object that it fits best
    picture, item, cell, owner, fit, overlap = (x[kept] for x in (picture, item, cell, owner, fit, overlap))

    # The best cell of an object is wanted to be as sure as its box is good, the others in proportion (TOOD, eq. 5).
    most = torch.zeros(2, batch.class_id.numel(), device=boxes.device)
    top_fit = most[0].scatter_reduce(0, owner, fit, "amax")[owner]
    top_overlap = most[1].scatter_reduce(0, owner, overlap, "amax")[owner].clamp(min=0.1)
    weight = (fit / top_fit).sqrt() * top_overlap * score[picture, item]

    quality = torch.zeros_like(answer.logits)
    quality[picture, cell, batch.class_id[picture, item]] = weight
    counted = _counted(answer, batch.boxes, given & ~real)
    counted[picture, cell] = 1.0
    return Targets(quality, counted, picture, cell, batch.boxes[picture, item], weight)


def _candidates(answer: Answer, boxes: Tensor, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Picture, object and cell of every pair that may belong together: the cell's centre lies in the object."""
    picture, item = real.nonzero(as_tuple=True)
    corners = boxes[picture, item]
    reach = REACH * answer.stride[None]
    inside = torch.ones(len(picture), len(answer.stride), dtype=torch.bool, device=boxes.device)
    for axis in range(2):
        low, high = corners[:, axis, None], corners[:, axis + 2, None]
        far = (answer.centre[None, :, axis] - (low + high) / 2).abs_()
        inside &= far <= torch.maximum((high - low) / 2, reach)
    row, cell = inside.nonzero(as_tuple=True)
    return picture[row], item[row], cell


def _best(group: Tensor, value: Tensor, count: int) -> Tensor:
    """Places of the `count` largest values of each group.

    group: (k,) int64 number of the group that each of the values (k,) belongs to.
    """
    if not len(group):
        return group
    order = value.argsort(descending=True, stable=True)
    order = order[group[order].argsort(stable=True)]
    _, sizes = torch.unique_consecutive(group[order], return_counts=True)
    starts = sizes.cumsum(0) - sizes
    rank = torch.arange(len(order), device=group.device) - starts.repeat_interleave(sizes)
    return order[rank < count]


def _prior(answer: Answer, truth: Tensor, cell: Tensor, strictness: float) -> Tensor:
    """How well a cell's level and place suit an object: 1 at the centre on the right level."""
    side = (truth[:, 2:] - truth[:, :2]).clamp(min=1.0)
    levels = torch.log2(side.prod(1).sqrt() / (CELLS_PER_OBJECT * answer.stride[cell]))
    away = ((answer.centre[cell] - (truth[:, :2] + truth[:, 2:]) / 2) / side).square().sum(1)
    return torch.exp(-strictness * (levels.square() + 4 * away))


def _counted(answer: Answer, boxes: Tensor, ignored: Tensor) -> Tensor:
    """(n, cells): 0 in ignored boxes, where what is there counts neither as right nor as wrong."""
    counted = torch.ones(answer.logits.shape[:2], device=boxes.device)
    picture, item = ignored.nonzero(as_tuple=True)
    area = boxes[picture, item]
    x, y = answer.centre[:, 0], answer.centre[:, 1]
    inside = (x >= area[:, :1]) & (x <= area[:, 2:3]) & (y >= area[:, 1:2]) & (y <= area[:, 3:])
    row, cell = inside.nonzero(as_tuple=True)
    counted[picture[row], cell] = 0.0
    return counted


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Of boxes (k, 4) pair by pair."""
    return _overlap(first, second)[0]


def giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU of boxes (k, 4) pair by pair, from -1 to 1."""
    overlap, union = _overlap(first, second)
    hull = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    area = hull.clamp(min=0).prod(1).clamp(min=EPSILON)
    return overlap - (area - union).clamp(min=0) / area


def _overlap(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and union."""
    sides = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    shared = sides.clamp(min=0).prod(1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) for boxes in (first, second)]
    union = (areas[0] + areas[1] - shared).clamp(min=EPSILON)
    return shared / union, union
