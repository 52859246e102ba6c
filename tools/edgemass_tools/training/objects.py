"""What the Jobs of all object detectors have in common: composed pictures, and AP by the device's own path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgemass import evaluate
from edgemass.detector import Detector
from edgemass.manifest import Manifest
from edgemass.progress import Steps, untold
from edgemass_tools.data import kept
from edgemass_tools.data.augment import PLAIN, Augment
from edgemass_tools.data.coco import DetectionData
from edgemass_tools.data.loading import Batch, Composer, batches
from edgemass_tools.data.pictures import Pictures
from edgemass_tools.torch_backend import Answers, TorchBackend
from edgemass_tools.training.held import Held
from edgemass_tools.training.loop import Prepared

if TYPE_CHECKING:
    from edgemass_tools.training.runs import Order


@dataclass
class ObjectJob(ABC):
    """size: (width, height) at the end. first_size: of the first `first_epochs`, smaller is faster.

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
    weights: Mapping[str, float] = field(default_factory=dict)
    key: str = "map_50"

    @abstractmethod
    def behind_detector(self) -> tuple[Manifest, Answers]:
        """How a device feeds the net and reads its answer, and how to run it."""

    @abstractmethod
    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Named parts, summed."""

    def steps(self, epoch: int) -> int:  # noqa: ARG002 (of Job)
        return max(1, self._count // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        first = self.first_size is not None and epoch < self.first_epochs
        composer = Composer(
            data=self.data,
            pictures=self.pictures,
            size=self.first_size if first and self.first_size else self.size,
            augment=PLAIN if epoch >= self.epochs - self.plain_epochs else self.augment,
            seed=self.seed,
            epoch=epoch,
            count=self._count,
            weights=self.weights,
        )
        return batches(composer, self.batch_size, self.workers)

    @property
    def _count(self) -> int:
        return self.pictures_per_epoch or len(self.data.samples)

    def measure(self, net: nn.Module) -> dict[str, float]:
        """AP of the held-out pictures, by the device's own path."""
        if self.held is None:
            return {}
        manifest, answers = self.behind_detector()
        stream = Detector(manifest, TorchBackend(net, manifest, answers)).stream()
        found = evaluate.detection(stream, manifest.labels, self.held.images, self.held.annotations, untold)
        return {"map_50_95": found.map_50_95, "map_50": found.map_50}


def prepared(kind: Callable[..., ObjectJob], order: Order, steps: Steps, **own: Any) -> Prepared:
    """The data of an order, and its Job. own: fields of this kind alone."""
    data, pictures = kept.load(order.pairs, order.labels, steps("reading pictures"))

    def job(net: nn.Module) -> ObjectJob:
        return kind(
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
            **own,
        )

    return Prepared(data.labels, data.description, job)
