"""The Job that trains one-stage detectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgemass import evaluate
from edgemass.detector import Detector
from edgemass.manifest import InputSpec, Manifest, Nms, OutputSpec, Resize, Variant
from edgemass_tools.data import kept
from edgemass_tools.data.augment import PLAIN, Augment
from edgemass_tools.data.coco import DetectionData
from edgemass_tools.data.loading import Batch, Composer, batches
from edgemass_tools.data.pictures import Pictures
from edgemass_tools.nets.edge_detector import STRIDES
from edgemass_tools.torch_backend import TorchBackend
from edgemass_tools.training.detection_loss import LossOptions, flatten, loss
from edgemass_tools.training.held import Held
from edgemass_tools.training.loop import Prepared, Progress
from edgemass_tools.training.options import chosen

if TYPE_CHECKING:
    from edgemass_tools.training.runs import Order

NMS_IOU = 0.5
"""Small nets say the same thing twice more often than large ones: while it found the first 110 people of coco-val, a
net of a million parameters said 42 twice at 0.6, and 15 at 0.5."""
INPUT, CLASSES, DISTANCES = "image", "classes", "distances"


@dataclass
class DetectionJob:
    """See the module.

    size: (width, height) at the end. first_size: of the first `first_epochs`, smaller is faster.
    plain_epochs: the last ones, without mosaics.
    """

    net: nn.Module
    data: DetectionData
    pictures: Pictures
    size: tuple[int, int]
    epochs: int
    held: Held | None = None
    first_size: tuple[int, int] | None = None
    first_epochs: int = 0
    plain_epochs: int = 0
    batch_size: int = 32
    pictures_per_epoch: int = 0
    workers: int = 1
    seed: int = 0
    augment: Augment = field(default_factory=Augment)
    options: LossOptions = field(default_factory=LossOptions)
    weights: Mapping[str, float] = field(default_factory=dict)
    key: str = "map_50"

    def steps(self, epoch: int) -> int:  # noqa: ARG002 (of Job)
        count = self.pictures_per_epoch or len(self.data.samples)
        return max(1, count // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        first = self.first_size is not None and epoch < self.first_epochs
        composer = Composer(
            data=self.data,
            pictures=self.pictures,
            size=self.first_size if first and self.first_size else self.size,
            augment=PLAIN if epoch >= self.epochs - self.plain_epochs else self.augment,
            seed=self.seed,
            epoch=epoch,
            count=self.pictures_per_epoch or len(self.data.samples),
            weights=self.weights,
        )
        return batches(composer, self.batch_size, self.workers)

    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        device = next(net.parameters()).device
        batch = Batch(*(item.to(device) for item in vars(batch).values()))
        levels = net(as_input(batch.images))
        with torch.autocast(device.type, enabled=False):
            return loss(flatten(levels, STRIDES), batch, self.options)

    def measure(self, net: nn.Module) -> dict[str, float]:
        """AP of the held-out pictures, by the device's own path."""
        if self.held is None:
            return {}
        manifest = torch_manifest(self.data.labels, self.size)
        stream = Detector(manifest, TorchBackend(net, manifest, named)).stream()
        found = evaluate.detection(
            stream, manifest.labels, self.held.images, self.held.annotations, lambda _done, _total: None
        )
        return {"map_50_95": found.map_50_95, "map_50": found.map_50}


def prepare(order: Order, steps: Callable[[str], Progress]) -> Prepared:
    """See runs.JobModule."""
    data, pictures = kept.load(order.pairs, order.labels, steps("reading pictures"))

    def job(net: nn.Module) -> DetectionJob:
        return DetectionJob(
            net=net,
            data=data,
            pictures=pictures,
            size=order.size,
            epochs=order.settings.epochs,
            held=order.held,
            first_size=order.first_size,
            first_epochs=order.first_epochs,
            plain_epochs=order.plain_epochs,
            batch_size=order.batch,
            pictures_per_epoch=order.per_epoch,
            workers=order.workers,
            seed=order.settings.seed,
            augment=chosen(Augment(), order.augment, "--augment"),
            options=chosen(LossOptions(soft=order.soft), order.loss, "--loss"),
            weights=order.weights,
        )

    return Prepared(data.labels, data.description, job)


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
        variants=(Variant(name="torch", file="none.onnx", runtime="onnx", sha256="", size_bytes=0),),
    )
