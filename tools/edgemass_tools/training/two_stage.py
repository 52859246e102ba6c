"""The Job that trains two-stage detectors: both stages at once, the second on what the first proposes at the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from edgemass.errors import UsageError
from edgemass.manifest import InputSpec, Manifest, OutputSpec, Resize
from edgemass.progress import Steps
from edgemass_tools.data.loading import Batch
from edgemass_tools.nets.faster_rcnn import FasterRcnn
from edgemass_tools.torch_backend import IN_MEMORY, Answers
from edgemass_tools.training.loop import Prepared
from edgemass_tools.training.objects import ObjectJob, prepared
from edgemass_tools.training.two_stage_loss import LossOptions, loss

if TYPE_CHECKING:
    from edgemass_tools.training.runs import Order

INPUT = "image"
MEANS = (102.9801, 115.9465, 122.7717)
"""Of blue, green and red, taken away from pixels: FasterRCNN of the ONNX model zoo."""
MULTIPLE = 32
LONGEST = 2
"""Long side of a picture over its short one; longer ones are made smaller."""
SCORE = 0.5
_AN_EPOCH = 1_000_003


@dataclass
class TwoStageJob(ObjectJob):
    """size: of composed pictures; the device then scales the short side of frames to the smaller one."""

    options: LossOptions = field(default_factory=LossOptions)

    def __post_init__(self) -> None:
        self._chance = torch.Generator().manual_seed(self.seed)

    def behind_detector(self) -> tuple[Manifest, Answers]:
        return torch_manifest(self.data.labels, self.size), answers

    def batches(self, epoch: int) -> Iterator[Batch]:
        # What is drawn in an epoch depends on its number alone, so that a resumed run draws the same.
        self._chance.manual_seed(self.seed * _AN_EPOCH + epoch)
        return super().batches(epoch)

    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        batch = batch.beside(net)
        return loss(cast("FasterRcnn", net), as_input(batch.images), batch, self.options, self._chance)


def prepare(order: Order, steps: Steps) -> Prepared:
    """See runs.JobModule.

    Raises:
        UsageError: soft targets were asked for.
    """
    if order.soft:
        raise UsageError("a two-stage net learns objects, not scores; leave out --soft, or take --net edge-detector")
    return prepared(TwoStageJob, order, steps)


def as_input(images: Tensor) -> Tensor:
    """(n, h, w, 3) uint8 BGR -> what the net takes."""
    pixels = images.float() - torch.tensor(MEANS, device=images.device)
    return pixels.permute(0, 3, 1, 2)  # channels stay last in memory


def answers(net: nn.Module, picture: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = net(picture)
    return found


def torch_manifest(labels: tuple[str, ...], size: tuple[int, int]) -> Manifest:
    """How a device feeds such a net and reads its answer; the variant stands for the net in memory.

    size: of the pictures that it learnt from.
    """
    short = min(size)
    return Manifest(
        name="faster-rcnn",
        task="detection",
        labels=labels,
        input=InputSpec(
            name=INPUT,
            layout="CHW",
            dtype="float32",
            color="BGR",
            resize=Resize(rule="shortest-edge", short_side=short, long_side=LONGEST * short, multiple=MULTIPLE),
            mean=MEANS,
        ),
        output=OutputSpec(
            family="faster_rcnn",
            tensors={"boxes": ("boxes",), "labels": ("labels",), "scores": ("scores",)},
            options={"class_offset": 1},
        ),
        variants=(IN_MEMORY,),
        score=SCORE,
    )
