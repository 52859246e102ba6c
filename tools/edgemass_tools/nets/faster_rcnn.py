"""A small Faster R-CNN (Ren et al., NeurIPS 2015): one map, a proposer, RoIAlign, and a head that looks again.

The backbone is that of the edge detector; its three levels are summed into one map at stride 8, which both stages read:
objects of all sizes have their anchors on it. The head tells the class of a proposal, or that there is none, and
mends its box, the same for all classes. Answers as FasterRCNN of the ONNX model zoo does.
"""

from __future__ import annotations

import math

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgemass_tools.nets import boxes
from edgemass_tools.nets.edge_detector import Bottleneck, Pooling, Unit

TASK = "two-stage detection"
STRIDE = 8
SIDES = 4
GAIN = 1 / 255
"""Of what comes in, pixels minus the zoo's means: the scale that the edge detector's backbone knows."""
HEAD_SPREAD = (0.1, 0.1, 0.2, 0.2)
"""What a delta of 1 in the head means: proposals are near already (Fast R-CNN's normalisation, usual since)."""
PRIOR = 0.01
"""Share of anchors that hold something, for the first bias."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """widths: channels at stride 2, 4, 8, 16, 32. depths: bottlenecks at stride 8, 16, 32. neck: of the shared map.

    anchors: square root of their areas in pixels. aspect: their height over width; 1.5 lies between a standing person
        and a portrait.
    candidates: best anchors that are looked at. proposals: of them that are left. overlap: IoU at which one hides
        another. pool: cells along a side of what the head sees. hidden: its width.
    least_score, final_overlap, found: of the answer, per class.
    """

    widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 160)
    depths: tuple[int, int, int] = (1, 2, 1)
    neck: int = 48
    anchors: tuple[float, ...] = (14.0, 28.0, 56.0, 112.0, 200.0)
    aspect: float = 1.5
    candidates: int = 400
    proposals: int = 100
    overlap: float = 0.7
    pool: int = 5
    hidden: int = 128
    least_score: float = 0.01
    final_overlap: float = 0.5
    found: int = 100

    def __post_init__(self) -> None:
        if not self.anchors or min(self.anchors) <= 0 or self.aspect <= 0:
            raise ValueError(
                f"anchors and aspect must be above 0, at least one anchor; found {self.anchors}, {self.aspect}"
            )
        if min(self.candidates, self.proposals, self.pool, self.hidden, self.found) < 1:
            raise ValueError("candidates, proposals, pool, hidden and found must be at least 1")


class FasterRcnn(nn.Module):
    """See the module. In training its parts are called one by one, see training.two_stage."""

    def __init__(self, options: Options, class_count: int) -> None:
        super().__init__()
        self.options = options
        widths, neck = options.widths, options.neck
        self.stem = Unit(3, widths[0], stride=2)
        stages: list[nn.Module] = [Unit(widths[0], widths[1], stride=2)]
        for index, depth in enumerate(options.depths, start=2):
            blocks = [Bottleneck(widths[index]) for _ in range(depth)]
            stages.append(nn.Sequential(Unit(widths[index - 1], widths[index], stride=2), *blocks))
        self.stages = nn.ModuleList(stages)
        self.pooling = Pooling(widths[-1])
        self.lateral = nn.ModuleList([Unit(width, neck, 1) for width in widths[2:]])
        self.down = nn.ModuleList([Unit(neck, neck), Unit(neck, neck)])
        self.look = Unit(neck, neck)
        self.objectness = nn.Conv2d(neck, len(options.anchors), 1)
        self.shifts = nn.Conv2d(neck, len(options.anchors) * SIDES, 1)
        cells = neck * options.pool**2
        self.head = nn.Sequential(
            nn.Linear(cells, options.hidden), nn.ReLU(), nn.Linear(options.hidden, options.hidden), nn.ReLU()
        )
        self.classes = nn.Linear(options.hidden, class_count + 1)
        self.mends = nn.Linear(options.hidden, SIDES)
        nn.init.constant_(self.objectness.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        for layer in (self.objectness, self.shifts, self.classes, self.mends):
            nn.init.normal_(layer.weight, std=0.01)

    def map(self, pictures: Tensor) -> Tensor:
        """The shared map (n, neck, h / 8, w / 8) of BGR pictures (n, 3, h, w) minus the zoo's means."""
        x = self.stages[0](self.stem(pictures * GAIN))
        fine = self.stages[1](x)
        middle = self.stages[2](fine)
        coarse = self.pooling(self.stages[3](middle))
        fine, middle, coarse = (unit(x) for unit, x in zip(self.lateral, (fine, middle, coarse), strict=True))
        middle = self.down[0](middle + functional.interpolate(coarse, scale_factor=2.0))
        found: Tensor = self.down[1](fine + functional.interpolate(middle, scale_factor=2.0))
        return found

    def first(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of each anchor, in the order of `anchors`: logit that it holds something (n, k), deltas (n, k, 4)."""
        seen = self.look(features)
        logits = self.objectness(seen).permute(0, 2, 3, 1).flatten(1)
        deltas = self.shifts(seen).permute(0, 2, 3, 1).reshape(features.shape[0], -1, SIDES)
        return logits.float(), deltas.float()

    def anchors(self, features: Tensor) -> Tensor:
        """Corners (k, 4) in pixels: rows, columns, sizes."""
        rows, columns = features.shape[2:]
        device = features.device
        x = (torch.arange(columns, device=device).float() + 0.5) * STRIDE
        y = (torch.arange(rows, device=device).float() + 0.5) * STRIDE
        middle = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), -1)[:, :, None]  # type: ignore[no-untyped-call]
        side = torch.tensor(self.options.anchors, device=device)
        root = math.sqrt(self.options.aspect)
        half = torch.stack([side / root, side * root], -1) / 2
        return torch.cat([middle - half, middle + half], -1).reshape(-1, SIDES)

    def second(self, features: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        """Of each box (n, k, 4): logits (n, k, 1 + classes), the first for nothing, and deltas (n, k, 4)."""
        seen = boxes.pool(features.float(), rois, self.options.pool, 1 / STRIDE)
        seen = self.head(seen.flatten(2))
        mends = self.mends(seen).float() * torch.tensor(HEAD_SPREAD, device=rois.device)
        return self.classes(seen).float(), mends

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        """Find what is in one picture (3, h, w), sides multiples of 32: boxes (k, 4), labels (k,) from 1, scores (k,).

        Per class, best first.
        """
        options = self.options
        features = self.map(picture[None])
        logits, deltas = (item[0] for item in self.first(features))
        places = boxes.best(logits, options.candidates)
        size = _size(features)
        proposals = clip(boxes.decode(deltas[places], self.anchors(features)[places]), size)
        few = boxes.suppress(proposals, logits[places][None], options.overlap, options.proposals, -1e9)[:, 1]
        rois = proposals[few]
        classes, mends = (item[0] for item in self.second(features, rois[None]))
        scores = classes.softmax(-1)[:, 1:].transpose(0, 1)
        mended = clip(boxes.decode(mends, rois), size)
        found = boxes.suppress(mended, scores, options.final_overlap, options.found, options.least_score)
        class_id, place = found[:, 0], found[:, 1]
        return {"boxes": mended[place], "labels": class_id + 1, "scores": scores[class_id, place]}


def clip(corners: Tensor, size: Tensor) -> Tensor:
    """Boxes (..., 4) inside of a picture of this size (width, height, width, height)."""
    return torch.minimum(corners.clamp(min=0), size)


def _size(features: Tensor) -> Tensor:
    """Width, height, width, height of the picture in pixels; an ONNX graph computes them in each run."""
    shape = torch._shape_as_tensor(features)  # noqa: SLF001 (the one way that is traced)
    return torch.stack([shape[3], shape[2], shape[3], shape[2]]).to(features.device).float() * STRIDE


def build(options: Options, class_count: int) -> FasterRcnn:
    return FasterRcnn(options, class_count)
