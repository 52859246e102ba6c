"""How a model is made smaller: which of several checkpoints, input size, 8 bits or not and how; within a latency."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from edgemass import bundles, evaluate
from edgemass.bundles import Bundle
from edgemass.detector import Stream
from edgemass.errors import UsageError
from edgemass.frame import Image
from edgemass.progress import Progress, Steps
from edgemass.sources import images
from edgemass_tools import checkpoint, quantizing, speed
from edgemass_tools.int8 import recipe
from edgemass_tools.tuning.space import Parameter, Settings
from edgemass_tools.tuning.study import Attempt, HopelessError, Objective

FLOAT = "none"
METHODS = (FLOAT, "percentile", "minmax", "entropy")
CHECKPOINT = ".pt"
TIMED = 8
"""Pictures that latency is measured on."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    models: bundles or checkpoints, the first is the default; pruned ones among them make the share of operations part
        of the search. sizes: (width, height) of exports of checkpoints; none = their own. calibration: folder.
    images, truth: what accuracy is measured on; truth is COCO's JSON, or a CSV for classifiers. key: of the accuracy.
    max_ms: of a frame on the device path, median, one thread; None = whatever it takes.
    """

    models: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    calibration: Path
    images: Path
    truth: Path
    key: str
    max_ms: float | None
    samples: int
    seed: int


def space(order: Order) -> dict[str, Parameter]:
    """What can be searched.

    Raises:
        UsageError: sizes without a checkpoint that could be exported at them.
    """
    found = {
        "method": Parameter("percentile", choices=METHODS),
        "budget": Parameter(recipe.BUDGET, 1e-3, 0.5, log=True),
    }
    if len(order.models) > 1:
        found["model"] = Parameter(order.models[0], choices=order.models)
    if order.sizes:
        fixed = [model for model in order.models if Path(model).suffix != CHECKPOINT]
        if fixed:
            raise UsageError(f"--size is for checkpoints: {fixed[0]} is a bundle, whose size is fixed")
        sizes = tuple(f"{width}x{height}" for width, height in order.sizes)
        found["size"] = Parameter(sizes[0], choices=sizes)
    return found


@dataclass
class Maker:
    """Makes models of settings. work: a folder for exports, each made once."""

    order: Order
    work: Path
    steps: Steps
    _made: dict[tuple[str, str], Bundle] = field(default_factory=dict)

    def source(self, settings: Settings) -> Bundle:
        """The float model that a trial begins with.

        Raises:
            UsageError, BundleError: it is none, or cannot be exported.
        """
        model, size = str(settings.get("model", self.order.models[0])), str(settings.get("size", ""))
        if (model, size) not in self._made:
            path = Path(model)
            exported = path.suffix == CHECKPOINT
            self._made[model, size] = self._exported(path, size) if exported else bundles.resolve(model)
        return self._made[model, size]

    def _exported(self, path: Path, size: str) -> Bundle:
        from edgemass_tools.exporting import bundle  # noqa: PLC0415 (imports PyTorch)

        body = checkpoint.load(path)
        name = path.resolve().parent.name
        if size:
            width, height = (int(side) for side in size.split("x"))
            body = msgspec.structs.replace(body, width=width, height=height)
        place = self.work / str(len(self._made))
        checkpoint.save(body, place / "model.pt")
        golden = tuple(images.find(str(self.order.calibration))[:1])
        order = bundle.Order(output=place / "bundle", name=name, golden=golden)
        return bundle.export(place / "model.pt", order, self.steps).bundle

    def make(self, settings: Settings, folder: Path) -> tuple[Bundle, str | None]:
        """The bundle that a trial is about, written to that folder where 8 bits are made, and the variant that runs."""
        source = self.source(settings)
        method = settings.get("method", FLOAT)
        if method == FLOAT:
            return source, None
        asked = quantizing.Order(
            output=folder,
            images=self.order.calibration,
            samples=self.order.samples,
            method=method,  # type: ignore[arg-type]
            budget=float(settings.get("budget", recipe.BUDGET)),
            seed=self.order.seed,
            force=True,  # what it costs is measured here
        )
        made = quantizing.quantize(source, asked, self.steps)
        return made.bundle, made.variant.name

    def objective(self) -> Objective:
        def judge(attempt: Attempt) -> float:
            with tempfile.TemporaryDirectory(dir=self.work) as folder:
                bundle, name = self.make(attempt.settings, Path(folder) / "bundle")
                detector, running = bundles.open_detector(bundle, threads=1, variant=name)
                try:
                    stream = detector.stream()
                    score = bundle.manifest.score
                    latency = speed.frames([(stream, score)], self._pictures())[0]
                    attempt.notes |= {"ms": round(latency.frame_ms, 3), "mb": round(running.size_bytes / 1e6, 3)}
                    limit = self.order.max_ms
                    if limit is not None and latency.frame_ms > limit:
                        raise HopelessError(f"{latency.frame_ms:.2f} ms a frame, wanted at most {limit:g}")
                    return self._accuracy(stream, bundle, self.steps(f"trial {attempt.number}, measuring"))
                finally:
                    detector.backend.close()

        return judge

    def _pictures(self) -> list[Image]:
        return [images.read(path) for path in images.find(str(self.order.calibration))[:TIMED]]

    def _accuracy(self, stream: Stream, bundle: Bundle, progress: Progress) -> float:
        measure = evaluate.detection if bundle.manifest.task == "detection" else evaluate.classification
        found = measure(stream, bundle.manifest.labels, self.order.images, self.order.truth, progress)
        value: float = getattr(found, self.order.key)
        return value

    def write(self, settings: Settings, folder: Path) -> Bundle:
        """The bundle of these settings, in place of one that an earlier search left there.

        Raises:
            UsageError, BundleError: it cannot be made or written.
        """
        if folder.is_dir():
            shutil.rmtree(folder)
        bundle, name = self.make(settings, folder)
        return bundle if name is not None else bundles.extend_bundle(bundle, bundle.manifest, {}, folder)


def described(order: Order, names: Sequence[str]) -> Mapping[str, Any]:
    """What must be the same to go on with a search."""
    return {
        "models": list(order.models),
        "calibration": str(order.calibration),
        "truth": str(order.truth),
        "key": order.key,
        "max_ms": order.max_ms,
        "samples": order.samples,
        "over": list(names),
    }
