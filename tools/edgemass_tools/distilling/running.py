"""A distillation from what was asked for to the checkpoint it leaves; interrupted, the same command goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from edgemass import bundles, evaluate
from edgemass.errors import UsageError
from edgemass.manifest import Manifest
from edgemass.progress import Steps
from edgemass_tools import checkpoint, nets, teaching
from edgemass_tools.checkpoint import Step
from edgemass_tools.data import coco
from edgemass_tools.distilling import frames, labelling
from edgemass_tools.distilling.labelling import Picture
from edgemass_tools.teaching import Rule
from edgemass_tools.training import loop, runs

LABELS = "labels.json"
FRAMES = "frames"
TASK = "detection"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    teachers: as `edgemass run --model` takes them. unlabelled: folders of pictures that nobody annotated. clips:
    videos, of which every `every`-th frame is taken. training: the student and its training; its `pairs` are what
    people annotated, its labels may be empty.
    """

    teachers: tuple[str, ...]
    training: runs.Order
    unlabelled: tuple[Path, ...] = ()
    clips: tuple[Path, ...] = ()
    every: int = 10
    rule: Rule


def run(order: Order, steps: Steps) -> loop.Outcome:
    """Label, train, and write the checkpoint.

    Raises:
        UsageError: teachers that cannot teach these classes, no pictures, a folder with another distillation; and as
            training does.
        BundleError, BackendError: a teacher cannot be loaded.
    """
    began = time.monotonic()
    kind = checkpoint.load(order.training.start).net if order.training.start else order.training.net
    if nets.load(kind).TASK != TASK:
        raise UsageError(f"teachers label pictures for nets of {TASK}; {kind!r} is one of {nets.load(kind).TASK}")
    found = [bundles.resolve(name) for name in order.teachers]
    labels = _labels(order, [bundle.manifest for bundle in found])
    teachers, told = [], []
    for bundle in found:
        _check(bundle.manifest)
        detector, _ = bundles.open_detector(bundle, threads=1)
        teachers.append(teaching.teacher(detector.stream(), bundle.manifest, labels))
        told.append(f"{bundle.manifest.name} {bundle.manifest.reference.sha256[:12]}")
    pictures = _pictures(order, labels, steps)
    asked = _asked(order, labels, told)
    file = order.training.output / LABELS
    body = labelling.label(pictures, teachers, labels, order.rule, asked, file, steps("labelling"))
    step = _step(body, asked, (time.monotonic() - began) / 3600)
    training = replace(order.training, pairs=((file, order.training.output),), labels=labels, soft=True, record=(step,))
    return runs.run(training, steps)


def _check(manifest: Manifest) -> None:
    """Before it is loaded, which takes a while."""
    if manifest.task != TASK:
        raise UsageError(f"teacher {manifest.name} is a {manifest.task} model, wanted a detector")


def _labels(order: Order, manifests: Sequence[Manifest]) -> tuple[str, ...]:
    """The classes to learn: as asked for, else the student's, else the annotated ones, else all that teachers share.

    Raises:
        UsageError: none.
    """
    if order.training.labels:
        return order.training.labels
    if order.training.start:
        return checkpoint.load(order.training.start).labels
    if order.training.pairs:
        return coco.read(*order.training.pairs[0]).labels
    for manifest in manifests:
        _check(manifest)
    keys = [{evaluate.label_key(label) for label in manifest.labels} for manifest in manifests]
    shared = tuple(label for label in manifests[0].labels if all(evaluate.label_key(label) in own for own in keys))
    if not shared:
        raise UsageError("the teachers have no class in common; say what to learn with --labels")
    return shared


def _pictures(order: Order, labels: tuple[str, ...], steps: Steps) -> list[Picture]:
    pictures = [
        Picture(sample.path, sample.source or folder.name, sample.objects)
        for file, folder in order.training.pairs
        for sample in coco.read(file, folder, labels).samples
    ]
    annotated = {picture.path.resolve() for picture in pictures}
    for folder in order.unlabelled:
        pictures += [Picture(path, folder.name) for path in frames.of_folder(folder) if path.resolve() not in annotated]
    for clip in order.clips:
        steps(f"reading {clip.name}")(0, 1)
        taken = frames.of_clip(clip, order.every, order.training.output / FRAMES)
        pictures += [Picture(path, clip.stem) for path in taken]
    if not pictures:
        raise UsageError("no pictures; give --images or --clip")
    return pictures


def _asked(order: Order, labels: tuple[str, ...], teachers: Sequence[str]) -> dict[str, Any]:
    """What labels depend on."""
    truth = [hashlib.sha256(file.read_bytes()).hexdigest()[:12] for file, _ in order.training.pairs]
    return {
        "teachers": list(teachers),
        "labels": list(labels),
        "truth": truth,
        "rule": msgspec.to_builtins(order.rule),
        "every": order.every,
    }


def _step(body: dict[str, Any], asked: dict[str, Any], hours: float) -> Step:
    ignored = sum(row["iscrowd"] for row in body["annotations"])
    results = {
        "pictures": float(len(body["images"])),
        "objects": float(len(body["annotations"]) - ignored),
        "doubted": float(ignored),
    }
    sources = sorted({image["source"] for image in body["images"]})
    return checkpoint.step("label", data=tuple(sources), settings=asked, results=results, hours=round(hours, 3))
