"""The Job that trains one-stage detectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgemass.manifest import InputSpec, Manifest, Nms, OutputSpec, Resize
from edgemass.progress import Steps
from edgemass_tools.data.augment import Augment
from edgemass_tools.data.loading import Batch
from edgemass_tools.nets.edge_detector import STRIDES
from edgemass_tools.torch_backend import IN_MEMORY, Answers
from edgemass_tools.training.detection_loss import LossOptions, flatten, loss
from edgemass_tools.training.loop import Prepared
from edgemass_tools.training.objects import ObjectJob, prepared
from edgemass_tools.training.options import chosen

if TYPE_CHECKING:
    from edgemass_tools.training.runs import Order

NMS_IOU = 0.5
"""Small nets say the same thing twice more often than large ones: while it found the first 110 people of coco-val, a
net of a million parameters said 42 twice at 0.6, and 15 at 0.5."""
INPUT, CLASSES, DISTANCES = "image", "classes", "distances"


@dataclass
class DetectionJob(ObjectJob):
    """See the module."""

    options: LossOptions = field(default_factory=LossOptions)

    def behind_detector(self) -> tuple[Manifest, Answers]:
        return torch_manifest(self.data.labels, self.size), named

    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        batch = batch.beside(net)
        levels = net(as_input(batch.images))
        with torch.autocast(batch.images.device.type, enabled=False):
            return loss(flatten(levels, STRIDES), batch, self.options)


def prepare(order: Order, steps: Steps) -> Prepared:
    """See runs.JobModule."""
    return prepared(
        DetectionJob,
        order,
        steps,
        augment=chosen(Augment(), order.augment, "--augment"),
        options=chosen(LossOptions(soft=order.soft), order.loss, "--loss"),
    )


def as_input(images: Tensor) -> Tensor:
    """(n, h, w, 3) uint8 BGR -> what the net takes."""
    return (images.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def named(net: nn.Module, picture: Tensor) -> dict[str, Tensor]:
    """The heads by the names that they have in a bundle."""
    found: dict[str, Tensor] = {}
    for (classes, distances), stride in zip(net(picture), STRIDES, strict=True):
        found[f"{CLASSES}{stride}"] = classes
        found[f"{DISTANCES}{stride}"] = distances
    return found


def torch_manifest(labels: tuple[str, ...], size: tuple[int, int]) -> Manifest:
    """How a device feeds such a net and reads its answer; the variant stands for the net in memory."""
    return Manifest(
        name="edge-detector",
        task="detection",
        labels=labels,
        input=InputSpec(
            name=INPUT,
            layout="NCHW",
            dtype="float32",
            width=size[0],
            height=size[1],
            color="BGR",
            resize=Resize(rule="letterbox", pad_value=114),
            std=(255.0,),
        ),
        output=OutputSpec(
            family="levels",
            tensors={role: tuple(f"{role}{stride}" for stride in STRIDES) for role in (CLASSES, DISTANCES)},
            options={"strides": list(STRIDES), "bins": 1},
            nms=Nms(iou=NMS_IOU),
        ),
        variants=(IN_MEMORY,),
    )
