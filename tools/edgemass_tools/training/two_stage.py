"""The Job that trains two-stage detectors: both stages at once, the second on what the first proposes at the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from edgemass import evaluate
from edgemass.detector import Detector
from edgemass.errors import UsageError
from edgemass.manifest import InputSpec, Manifest, OutputSpec, Resize, Variant
from edgemass_tools.data import kept
from edgemass_tools.data.augment import PLAIN, Augment
from edgemass_tools.data.coco import DetectionData
from edgemass_tools.data.loading import Batch, Composer, batches
from edgemass_tools.data.pictures import Pictures
from edgemass_tools.nets.faster_rcnn import FasterRcnn
from edgemass_tools.torch_backend import TorchBackend
from edgemass_tools.training.held import Held
from edgemass_tools.training.loop import Prepared, Progress
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
class TwoStageJob:
    """size: (width, height) of composed pictures; the device then scales the short side of frames to the smaller one.

    plain_epochs: the last ones, without mosaics. The other fields are those of DetectionJob.
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

    def __post_init__(self) -> None:
        self._chance = torch.Generator().manual_seed(self.seed)

    def steps(self, epoch: int) -> int:  # noqa: ARG002 (of Job)
        return max(1, (self.pictures_per_epoch or len(self.data.samples)) // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        # What is drawn in an epoch depends on its number alone, so that a resumed run draws the same.
        self._chance.manual_seed(self.seed * _AN_EPOCH + epoch)
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
        return loss(cast("FasterRcnn", net), as_input(batch.images), batch, self.options, self._chance)

    def measure(self, net: nn.Module) -> dict[str, float]:
        """AP of the held-out pictures, by the device's own path."""
        if self.held is None:
            return {}
        manifest = torch_manifest(self.data.labels, self.size)
        stream = Detector(manifest, TorchBackend(net, manifest, answers)).stream()
        found = evaluate.detection(
            stream, manifest.labels, self.held.images, self.held.annotations, lambda _done, _total: None
        )
        return {"map_50_95": found.map_50_95, "map_50": found.map_50}


def prepare(order: Order, steps: Callable[[str], Progress]) -> Prepared:
    """See runs.JobModule.

    Raises:
        UsageError: soft targets were asked for.
    """
    if order.soft:
        raise UsageError("a two-stage net learns objects, not scores; leave out --soft, or take --net edge-detector")
    data, pictures = kept.load(order.pairs, order.labels, steps("reading pictures"))

    def job(net: nn.Module) -> TwoStageJob:
        return TwoStageJob(
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
            weights=order.weights,
        )

    return Prepared(data.labels, data.description, job)


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
        variants=(Variant(name="torch", file="none.onnx", runtime="onnx", sha256="", size_bytes=0),),
        score=SCORE,
    )
