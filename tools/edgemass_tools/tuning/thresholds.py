"""Score threshold and NMS of a bundle, on annotated pictures: chosen on one half of them, confirmed on the other."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from edgemass import bundles, evaluate
from edgemass.bundles import Bundle
from edgemass.detections import Detections
from edgemass.detector import Detector, Thresholds
from edgemass.errors import UsageError
from edgemass.evaluate import MAX_DETECTIONS, SCORE, Truth
from edgemass.frame import Image
from edgemass.manifest import Manifest
from edgemass.progress import Progress, Steps
from edgemass_tools.evaluating import matches
from edgemass_tools.evaluating.detecting import without
from edgemass_tools.tuning.remembered import Remembered
from edgemass_tools.tuning.space import Parameter, Settings, Space
from edgemass_tools.tuning.study import Attempt, Objective

Metric = Literal["f1", "map_50", "map_50_95"]
LEAST_PICTURES = 4
MODEL = "bundle"


def space(manifest: Manifest, metric: Metric) -> dict[str, Parameter]:
    """What can be searched. mAP is measured at a fixed score, so only NMS is left for it.

    Raises:
        UsageError: nothing is.
    """
    found = {"score": Parameter(manifest.score, 0.02, 0.95)} if metric == "f1" else {}
    if manifest.output.nms is not None:
        found["iou"] = Parameter(manifest.output.nms.iou, 0.2, 0.9)
    if not found:
        raise UsageError(f"{manifest.name} needs no NMS, and mAP does not depend on the score; try --metric f1")
    return found


class Judge:
    """Measures a bundle with other thresholds, on the device's own path."""

    def __init__(self, bundle: Bundle, images: Path, annotations: Path, *, metric: Metric, variant: str | None) -> None:
        """Load the model and see that it knows what is annotated.

        Raises:
            UsageError: it is no detector, the pictures are too few or missing, or their classes none of the model's.
        """
        if bundle.manifest.task != "detection":
            raise UsageError(f"{bundle.manifest.name} is a {bundle.manifest.task} model, which has no thresholds")
        self.truth = evaluate.read_annotations(annotations)
        if len(self.truth.images) < LEAST_PICTURES:
            raise UsageError(f"{annotations} has {len(self.truth.images)} pictures, wanted at least {LEAST_PICTURES}")
        self._images, self._annotations, self._metric = images, annotations, metric
        detector, running = bundles.open_detector(bundle, threads=1, variant=variant)
        self.variant = running.name
        self._manifest = bundle.manifest.of(running)
        self._backend = Remembered(detector.backend)
        self._pictures: dict[int, Image] = {}
        evaluate.match_categories(self.truth, bundle.manifest.labels, annotations)

    def halves(self, seed: int) -> tuple[Truth, Truth]:
        """To choose with and to confirm with."""
        numbers = [entry.id for entry in self.truth.images]
        random.Random(seed).shuffle(numbers)  # noqa: S311 (a choice that can be repeated, no secret)
        half = len(numbers) // 2
        return without(self.truth, set(numbers[half:])), without(self.truth, set(numbers[:half]))

    def measure(self, truth: Truth, settings: Settings, progress: Progress) -> dict[str, float]:
        """The metric first, and for F1 precision and recall at the score.

        Raises:
            UsageError: a picture is missing, or no box of a known class is in this half.
        """
        manifest = changed(self._manifest, settings)
        categories = evaluate.match_categories(truth, manifest.labels, self._annotations)
        stream = Detector(manifest, self._backend).stream()
        thresholds = Thresholds(manifest.score)
        if self._metric != "f1":
            thresholds = Thresholds(SCORE, multi_label=True, max_detections=MAX_DETECTIONS)
        rows = []
        for done, entry in enumerate(truth.images):
            picture = self._pictures.get(entry.id)
            if picture is None:
                picture = self._pictures[entry.id] = evaluate.read_picture(self._images, entry, self._annotations)
            self._backend.show(entry.id)
            found = stream.detect(picture, thresholds).found
            assert isinstance(found, Detections)
            rows.append(evaluate.coco_rows(entry.id, found, categories))
            stream.forget()
            progress(done + 1, len(truth.images))
        known = evaluate.known_categories(truth, categories)
        evaluation = evaluate.coco_evaluation(truth, np.concatenate(rows), known)
        if self._metric != "f1":
            accuracy = evaluate.accuracy(evaluation, truth, categories, manifest.labels)
            return {self._metric: getattr(accuracy, self._metric)}
        parts = [matches.of_category(evaluation, index) for index in range(len(known))]
        point = matches.at(matches.pooled(parts), manifest.score)
        return {"f1": point.f1, "precision": point.precision or 0.0, "recall": point.recall or 0.0}

    def objective(self, truth: Truth, steps: Steps) -> Objective:
        def judge(attempt: Attempt) -> float:
            found = self.measure(truth, attempt.settings, steps(f"trial {attempt.number}"))
            value, *_ = found.values()
            attempt.notes.update(list(found.items())[1:])
            return value

        return judge

    def close(self) -> None:
        self._backend.close()


def changed(manifest: Manifest, settings: Settings) -> Manifest:
    """A manifest with these thresholds, those of its variants too."""
    given: Mapping[str, Any] = settings

    def answer(output: Any) -> Any:
        if output is None or output.nms is None or "iou" not in given:
            return output
        return msgspec.structs.replace(output, nms=msgspec.structs.replace(output.nms, iou=given["iou"]))

    variants = tuple(msgspec.structs.replace(item, output=answer(item.output)) for item in manifest.variants)
    return msgspec.structs.replace(
        manifest, output=answer(manifest.output), variants=variants, score=given.get("score", manifest.score)
    )


@dataclass(frozen=True)
class Confirmed:
    """The metric of the default and of the best settings on the half that nothing was chosen with."""

    default: float
    best: float

    @property
    def better(self) -> bool:
        return self.best > self.default


def confirm(judge: Judge, truth: Truth, default: Settings, best: Settings, progress: Progress) -> Confirmed:
    values = [next(iter(judge.measure(truth, settings, progress).values())) for settings in (default, best)]
    return Confirmed(*values)


def write(bundle: Bundle, settings: Settings, folder: Path) -> Bundle:
    """The bundle with these thresholds, in place of one that an earlier search left there.

    Raises:
        UsageError: it cannot be written.
        BundleError: a file of the bundle is missing.
    """
    rounded = {name: round(float(value), 3) for name, value in settings.items()}
    if folder.is_dir() and bundle.folder.resolve() != folder.resolve():
        shutil.rmtree(folder)
    return bundles.extend_bundle(bundle, changed(bundle.manifest, rounded), {}, folder)


def described(bundle: Bundle, judge: Judge, images: Path, metric: Metric, space: Space) -> dict[str, Any]:
    """What must be the same to go on with a search."""
    return {
        "model": bundle.manifest.name,
        "sha256": bundle.manifest.reference.sha256,
        "variant": judge.variant,
        "images": str(images),
        "pictures": len(judge.truth.images),
        "metric": metric,
        "over": list(space),
    }
