"""The Job that trains classifiers of whole pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgemass import evaluate
from edgemass.detector import Detector
from edgemass.errors import UsageError
from edgemass.manifest import InputSpec, Manifest, OutputSpec, Resize
from edgemass.progress import Steps, untold
from edgemass_tools.data import folders, whole
from edgemass_tools.data.folders import ClassData
from edgemass_tools.data.pictures import Pictures
from edgemass_tools.data.whole import Augment, Batch, Composer
from edgemass_tools.torch_backend import IN_MEMORY, TorchBackend
from edgemass_tools.training.loop import Prepared
from edgemass_tools.training.options import chosen

if TYPE_CHECKING:
    from edgemass_tools.training.runs import Order

INPUT, SCORES = "image", "scores"
HELD = "held.csv"
"""In a run's folder: what was measured with, as `edgemass eval --labels` reads it."""
KEPT_SIDE = 512
"""Longest side of pictures in memory: more than nets of this size see."""

Color = Literal["BGR", "GRAY"]


class LossOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """smoothing: share of the wanted probability that is spread over all classes (Szegedy et al., CVPR 2016)."""

    smoothing: float = 0.1


@dataclass(frozen=True)
class Held:
    """What is measured with: CSV of file,label, files relative to `images`."""

    truth: Path
    images: Path


@dataclass
class ClassificationJob:
    """See the module. size: (width, height)."""

    net: nn.Module
    data: ClassData
    pictures: Pictures
    size: tuple[int, int]
    held: Held
    batch_size: int = 32
    pictures_per_epoch: int = 0
    workers: int = 1
    seed: int = 0
    augment: Augment = field(default_factory=Augment)
    options: LossOptions = field(default_factory=LossOptions)
    key: str = "top1"

    def _count(self) -> int:
        return self.pictures_per_epoch or len(self.data.paths)

    def steps(self, epoch: int) -> int:  # noqa: ARG002 (of Job)
        return max(1, self._count() // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        composer = Composer(
            pictures=self.pictures,
            class_id=self.data.class_id,
            size=self.size,
            color=color_of(self.net),
            augment=self.augment,
            seed=self.seed,
            epoch=epoch,
            count=self._count(),
        )
        return whole.batches(composer, self.batch_size, self.workers)

    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        device = next(net.parameters()).device
        images = (batch.images.to(device).permute(0, 3, 1, 2).float() / 255).contiguous(
            memory_format=torch.channels_last
        )
        logits = net(images).float()
        return {
            "classes": functional.cross_entropy(
                logits, batch.class_id.to(device), label_smoothing=self.options.smoothing
            )
        }

    def measure(self, net: nn.Module) -> dict[str, float]:
        """Share of held-out pictures whose class is the best or among the five best, by the device's own path."""
        manifest = torch_manifest("classifier", self.data.labels, self.size, color_of(net))
        stream = Detector(manifest, TorchBackend(net, manifest, named)).stream()
        found = evaluate.classification(stream, manifest.labels, self.held.images, self.held.truth, untold)
        return {"top1": found.top1, "top5": found.top5}


def prepare(order: Order, steps: Steps) -> Prepared:
    """See runs.JobModule."""
    if order.folders is None:
        raise UsageError("a classifier learns from --folders DIR, one folder of pictures for each class")
    data = folders.read(order.folders, order.labels)
    if order.val_folders is None:
        data, held = folders.split(data, order.settings.seed)
    else:
        held = folders.read(order.val_folders)
        _check_classes(data, held)
    truth = order.output / HELD
    folders.write_truth(held, truth)
    pictures = Pictures(data.paths, longest=KEPT_SIDE)
    progress = steps("reading pictures")
    for number in range(len(pictures)):
        pictures[number]
        progress(number + 1, len(pictures))

    def job(net: nn.Module) -> ClassificationJob:
        return ClassificationJob(
            net=net,
            data=data,
            pictures=pictures,
            size=order.size,
            held=Held(truth, held.folder),
            batch_size=order.batch,
            pictures_per_epoch=order.per_epoch,
            workers=order.workers,
            seed=order.settings.seed,
            augment=chosen(Augment(), order.augment, "--augment"),
            options=chosen(LossOptions(), order.loss, "--loss"),
        )

    description = f"{data.description}; measured with {held.description}"
    return Prepared(data.labels, description, cast("Callable[[nn.Module], Any]", job))


def _check_classes(data: ClassData, held: ClassData) -> None:
    """Raises UsageError where what is measured with has a class that nobody learns."""
    strange = [label for label in held.labels if label not in data.labels]
    if strange:
        raise UsageError(
            f"{held.folder} has classes that {data.folder} has not: {', '.join(strange[:5])}; the same names are "
            f"wanted: {', '.join(data.labels[:5])}"
        )


def color_of(net: nn.Module) -> Color:
    """What a net sees."""
    return cast("Color", getattr(net, "color", "BGR"))


def named(net: nn.Module, picture: Tensor) -> dict[str, Tensor]:
    """The answer by the name that it has in a bundle."""
    return {SCORES: net(picture)}


def torch_manifest(name: str, labels: tuple[str, ...], size: tuple[int, int], color: Color) -> Manifest:
    """How a device feeds such a net and reads its answer; the variant stands for the net in memory."""
    return Manifest(
        name=name,
        task="classification",
        labels=labels,
        input=InputSpec(
            name=INPUT,
            layout="NCHW",
            dtype="float32",
            width=size[0],
            height=size[1],
            color=color,
            resize=Resize(interpolation="area"),
            std=(255.0,),
        ),
        output=OutputSpec(family="classifier", tensors={SCORES: (SCORES,)}, options={"activation": "softmax"}),
        variants=(IN_MEMORY,),
        score=0.1,
    )
