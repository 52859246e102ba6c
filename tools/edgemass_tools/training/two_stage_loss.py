"""Loss of a two-stage detector: which anchors and proposals are an object, which are nothing, and how far off they are.

Ren et al., Faster R-CNN (NeurIPS 2015): of each picture a few anchors are drawn, half of them objects, then a few
proposals, a quarter of them objects. Drawing what is judged keeps the many empty ones from drowning the few others.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from edgemass_tools.data.loading import Batch
from edgemass_tools.nets import boxes
from edgemass_tools.nets.faster_rcnn import HEAD_SPREAD, FasterRcnn, clip

OBJECT, NOTHING, UNCOUNTED = 1, 0, -1
ANCHOR_BETA = 1 / 9  # Detectron's
HEAD_BETA = 1.0
LEAST_BEST = 0.2
"""IoU from which an object's best anchor is its own, though below `anchor_iou`."""
CLOSE = 1e-4
IGNORED_SHARE = 0.5
LEAST_SIDE = 1.0  # pixels


class LossOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """candidates: of the net's anchors that it may propose in training. anchors, proposals: drawn of each picture.

    anchor_share, proposal_share: of them at most that are objects.

    anchor_iou, nothing_iou: from which an anchor is an object, below which it is nothing; between them it is not
        counted. proposal_iou: the same for proposals, with nothing between.
    """

    candidates: int = 160
    anchors: int = 128
    anchor_share: float = 0.5
    anchor_iou: float = 0.5
    nothing_iou: float = 0.3
    proposals: int = 32
    proposal_share: float = 0.25
    proposal_iou: float = 0.5


@dataclass(frozen=True)
class Matched:
    """kind: (n, k) OBJECT, NOTHING or UNCOUNTED. item: (n, k), which object of the picture overlaps most."""

    kind: Tensor
    item: Tensor


@dataclass(frozen=True)
class Drawn:
    """place: (n, most) of what was drawn. counts: (n, most) bool; rows are padded with what does not count."""

    place: Tensor
    counts: Tensor


def loss(
    net: FasterRcnn, pictures: Tensor, batch: Batch, options: LossOptions, chance: torch.Generator
) -> dict[str, Tensor]:
    """Named parts; their sum is what is made small. chance: draws, on the CPU."""
    features = net.map(pictures)
    logits, deltas = net.first(features)
    size = torch.tensor([pictures.shape[3], pictures.shape[2]] * 2, device=pictures.device)
    anchors = net.anchors(features)
    with torch.autocast(pictures.device.type, enabled=False):
        parts = _first(logits, deltas, anchors, batch, options, chance)
        with torch.no_grad():
            proposals = propose(net, logits.detach(), deltas.detach(), anchors, size, options.candidates)
            proposals = torch.cat([proposals, batch.boxes], 1)
            matched = match(proposals, batch, options.proposal_iou, options.proposal_iou)
            drawn = draw(matched.kind, options.proposals, options.proposal_share, chance)
            rois = taken(proposals, drawn.place)
    classes, mends = net.second(features, rois)
    with torch.autocast(pictures.device.type, enabled=False):
        return parts | _second((classes, mends), rois, matched, drawn, batch)


def _first(
    logits: Tensor, deltas: Tensor, anchors: Tensor, batch: Batch, options: LossOptions, chance: torch.Generator
) -> dict[str, Tensor]:
    every = anchors.expand(len(logits), -1, -1)
    matched = match(every, batch, options.anchor_iou, options.nothing_iou, own=True)
    drawn = draw(matched.kind, options.anchors, options.anchor_share, chance)
    kind = matched.kind.gather(1, drawn.place)
    total = drawn.counts.sum().clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits(
        logits.gather(1, drawn.place), (kind == OBJECT).float(), reduction="none"
    )
    return {
        "objectness": (entropy * drawn.counts).sum() / total,
        "shifts": _far(deltas, every, matched, drawn, batch, beta=ANCHOR_BETA) / total,
    }


def _second(
    answer: tuple[Tensor, Tensor], rois: Tensor, matched: Matched, drawn: Drawn, batch: Batch
) -> dict[str, Tensor]:
    classes, mends = answer
    kind, item = matched.kind.gather(1, drawn.place), matched.item.gather(1, drawn.place)
    wanted = torch.where(kind == OBJECT, batch.class_id.gather(1, item) + 1, 0)
    total = drawn.counts.sum().clamp(min=1)
    entropy = functional.cross_entropy(classes.flatten(0, 1), wanted.flatten(), reduction="none")
    spread = torch.tensor(HEAD_SPREAD, device=rois.device)
    objects = (kind == OBJECT) & drawn.counts
    truth = taken(batch.boxes, item)[objects]
    far = functional.smooth_l1_loss(
        mends[objects] / spread, boxes.encode(truth, rois[objects]) / spread, reduction="sum", beta=HEAD_BETA
    )
    return {"classes": (entropy * drawn.counts.flatten()).sum() / total, "mends": far / total}


def _far(deltas: Tensor, anchors: Tensor, matched: Matched, drawn: Drawn, batch: Batch, *, beta: float) -> Tensor:
    """How far the deltas of the objects among what was drawn are from the truth, summed."""
    objects = (matched.kind.gather(1, drawn.place) == OBJECT) & drawn.counts
    truth = taken(batch.boxes, matched.item.gather(1, drawn.place))[objects]
    wanted = boxes.encode(truth, taken(anchors, drawn.place)[objects])
    found = taken(deltas, drawn.place)[objects]
    return functional.smooth_l1_loss(found, wanted, reduction="sum", beta=beta)


def propose(net: FasterRcnn, logits: Tensor, deltas: Tensor, anchors: Tensor, size: Tensor, candidates: int) -> Tensor:
    """The boxes (n, proposals, 4) that the net proposes; hidden ones follow where there are fewer."""
    options = net.options
    top = logits.topk(min(candidates, logits.shape[1]), 1).indices
    found = clip(boxes.decode(taken(deltas, top), anchors[top]), size)
    rank = torch.arange(top.shape[1], device=top.device)
    order = torch.where(boxes.kept(found, options.overlap), rank, rank + top.shape[1]).argsort(1)
    return taken(found, order[:, : options.proposals])


def match(candidates: Tensor, batch: Batch, object_iou: float, nothing_iou: float, *, own: bool = False) -> Matched:
    """Which of the boxes (n, k, 4) hold an object.

    own: the anchors that overlap an object most are its own, if no object would be left without.
    """
    real = (batch.class_id >= 0) & ~batch.ignore
    iou, share = boxes.overlaps(candidates, batch.boxes)
    iou = iou * real[:, None]
    most, item = iou.max(2)
    kind = torch.full_like(item, UNCOUNTED)
    kind[most < nothing_iou] = NOTHING
    ignored = (share * ((batch.class_id >= 0) & batch.ignore)[:, None]).amax(2) >= IGNORED_SHARE
    kind[ignored] = UNCOUNTED
    kind[most >= object_iou] = OBJECT
    kind[(candidates[..., 2:] - candidates[..., :2]).amin(2) < LEAST_SIDE] = UNCOUNTED  # padding, and what was clipped
    if own:
        best = iou.amax(1, keepdim=True)
        mine = (iou >= best - CLOSE) & (best >= LEAST_BEST)
        kind[mine.any(2)] = OBJECT
        item = torch.where(mine.any(2), (iou * mine).argmax(2), item)
    return Matched(kind, item)


def draw(kind: Tensor, most: int, share: float, chance: torch.Generator) -> Drawn:
    """Draw `most` of each row of (n, k), at most a share of them objects, the rest nothing."""
    key = torch.rand(kind.shape, generator=chance).to(kind.device)
    order = torch.where(kind == OBJECT, key, 2.0).argsort(1)
    objects = min(round(most * share), kind.shape[1])
    first = order[:, :objects]
    is_object = kind.gather(1, first) == OBJECT
    # Nothing fills what is left; a row never needs more of it than `most`.
    rest = torch.where(kind == NOTHING, key, 2.0).argsort(1)[:, :most]
    left = most - is_object.sum(1, keepdim=True)
    is_nothing = (kind.gather(1, rest) == NOTHING) & (torch.arange(rest.shape[1], device=kind.device) < left)
    place, counts = torch.cat([first, rest], 1), torch.cat([is_object, is_nothing], 1)
    chosen = counts.int().argsort(dim=1, descending=True, stable=True)[:, :most]
    return Drawn(place.gather(1, chosen), counts.gather(1, chosen))


def taken(rows: Tensor, place: Tensor) -> Tensor:
    """Rows (n, k, 4) at places (n, m) -> (n, m, 4)."""
    return rows.gather(1, place[..., None].expand(-1, -1, rows.shape[2]))
