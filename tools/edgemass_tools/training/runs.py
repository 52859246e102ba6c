"""A training from what was asked for to the checkpoint it leaves."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec
import torch
from torch import nn

from edgemass.errors import UsageError
from edgemass_tools import checkpoint, nets
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.training import loop
from edgemass_tools.training.held import Held
from edgemass_tools.training.loop import Outcome, Settings

logger = logging.getLogger(__name__)

__all__ = ["Order", "Settings", "held", "net_options", "run"]

MODEL = "model.pt"
FIRST_NET = "edge-detector"

JOBS = {  # TASK of a net's module -> the module that makes the Job of it, imported when first asked for
    "detection": "edgemass_tools.training.detection",
    "two-stage detection": "edgemass_tools.training.two_stage",
    "classification": "edgemass_tools.training.classification",
}


class JobModule(Protocol):
    """What a module of JOBS offers."""

    def prepare(self, order: Order, steps: Callable[[str], loop.Progress]) -> loop.Prepared:
        """Read the data that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; see the options of `edgemass-tools train`.

    net: kind; "" = that of `start`. start: a checkpoint to begin with, or the layers of another kind that fit.
    pairs, held: of detectors. folders, val_folders: of classifiers. augment, loss: options that differ from the Job's.
    """

    verb: str
    net: str
    net_options: Mapping[str, Any]
    start: Path | None
    pairs: tuple[tuple[Path, Path], ...]
    labels: tuple[str, ...]
    held: Held | None
    weights: Mapping[str, float]
    size: tuple[int, int]
    first_size: tuple[int, int] | None
    first_epochs: int
    plain_epochs: int
    batch: int
    per_epoch: int
    workers: int
    soft: bool
    settings: Settings
    output: Path
    stop: loop.Stop = loop.NEVER
    record: tuple[checkpoint.Step, ...] = field(default=())
    folders: Path | None = None
    val_folders: Path | None = None
    augment: Mapping[str, Any] = field(default_factory=dict)
    loss: Mapping[str, Any] = field(default_factory=dict)


def net_options(items: Sequence[str], what: str = "--option") -> dict[str, Any]:
    """`neck=48`, `widths=[16,32,64,96,160]`, `color=GRAY` -> values.

    what: the option's name, for the error.

    Raises:
        UsageError: not KEY=JSON and not KEY=WORD.
    """
    found = {}
    for item in items:
        key, _, value = item.partition("=")
        try:
            found[key] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            if not value.isalnum():
                raise UsageError(f"{what} wants NAME=VALUE with a number, a list or a word, found {item!r}") from None
            found[key] = value
    return found


def held(annotations: Path | None, images: Path | None) -> Held | None:
    """What is measured on.

    Raises:
        UsageError: one without the other.
    """
    if (annotations is None) != (images is None):
        raise UsageError("--val-annotations and --val-images go together")
    return None if annotations is None or images is None else Held(annotations, images)


def net_of(
    order: Order, begun: Checkpoint | None, labels: tuple[str, ...]
) -> tuple[nn.Module, str, dict[str, Any], tuple[checkpoint.Step, ...]]:
    """The net to train: a fresh one, or `begun` with its weights. Also its kind, options and record."""
    kind = kind_of(order, begun)
    if begun is None:
        return nets.build(kind, order.net_options, len(labels)), kind, dict(order.net_options), ()
    if begun.net != kind:
        net = nets.build(kind, order.net_options, len(labels))
        shared = nets.share(net, begun.weights)
        if not shared:
            raise UsageError(f"{order.start} is a {begun.net} and shares no layer with {kind}; the same --option's may")
        logger.info("%d tensors are taken over from %s, a %s", shared, order.start, begun.net)
        return net, kind, dict(order.net_options), begun.record
    if begun.labels == labels:
        return checkpoint.module(begun), kind, begun.options, begun.record
    net, new = nets.migrate(kind, begun.options, (begun.labels, labels), begun.weights)
    logger.info(
        "%d of %d tensors are taken over from %s, which knows %s; new are %s",
        len(begun.weights) - len(new),
        len(begun.weights),
        order.start,
        ", ".join(begun.labels[:10]),
        ", ".join(new),
    )
    return net, kind, begun.options, begun.record


def kind_of(order: Order, begun: Checkpoint | None) -> str:
    """Of the net to train: the one that was asked for, else that of the checkpoint to begin with."""
    return order.net or (begun.net if begun else FIRST_NET)


def run(order: Order, steps: Callable[[str], loop.Progress], watch: loop.Watch = loop.look_away) -> Outcome:
    """Train, and write the checkpoint, finished or not.

    watch: see loop.run.

    Raises:
        UsageError, TrainingError: see their places.
    """
    torch.manual_seed(order.settings.seed)
    begun = None if order.start is None else checkpoint.load(order.start)
    prepared = _job_module(nets.load(kind_of(order, begun)).TASK).prepare(order, steps)
    _check_classes(order.output / MODEL, prepared.labels)
    net, kind, options, record = net_of(order, begun, prepared.labels)
    job = prepared.job(net)
    made = loop.run(job, order.settings, order.output, steps, order.stop, watch)
    step = checkpoint.step(
        order.verb,
        data=tuple(prepared.description.split("; ")),
        settings=_described(order),
        results=made.results,
        hours=round(made.hours, 3),
    )
    body = Checkpoint(
        net=kind,
        options=options,
        labels=prepared.labels,
        width=order.size[0],
        height=order.size[1],
        weights=made.weights,
        record=(*record, *order.record, step),
    )
    if made.learnt or not (order.output / MODEL).is_file():
        checkpoint.save(body, order.output / MODEL)
    return made


def _check_classes(path: Path, labels: tuple[str, ...]) -> None:
    """Raises UsageError where an earlier run of that folder learnt other classes."""
    if path.is_file() and (there := checkpoint.load(path).labels) != labels:
        raise UsageError(
            f"{path} was begun with other classes: {', '.join(there[:10])}; the data has {', '.join(labels[:10])}; "
            "give the same to go on, or another folder with -o"
        )


def _job_module(task: str) -> JobModule:
    """Raises UsageError where nothing trains such a net."""
    if task not in JOBS:
        raise UsageError(f"nothing trains nets for {task}; known are {', '.join(JOBS)}")
    return cast("JobModule", importlib.import_module(JOBS[task]))


def _described(order: Order) -> dict[str, Any]:
    return {
        **msgspec.to_builtins(order.settings),
        "size": f"{order.size[0]}x{order.size[1]}",
        "batch": order.batch,
        "per_epoch": order.per_epoch,
        "soft": order.soft,
        "weights": dict(order.weights),
        "first_size": f"{order.first_size[0]}x{order.first_size[1]}" if order.first_size else "",
        "first_epochs": order.first_epochs,
        "plain_epochs": order.plain_epochs,
        "augment": dict(order.augment),
        "loss": dict(order.loss),
    }
