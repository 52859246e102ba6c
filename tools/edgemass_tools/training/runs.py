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

JOBS = {  # TASK of a net's module -> the module that makes the Job of it, imported when first asked for
    "detection": "edgemass_tools.training.detection",
}


class JobModule(Protocol):
    """What a module of JOBS offers."""

    def prepare(self, order: Order, steps: Callable[[str], loop.Progress]) -> loop.Prepared:
        """Read the data that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; see the options of `edgemass-tools train`.

    start: a checkpoint to begin with. same_net: with its net too, pruned channels and all.
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
    stop_after_s: float | None = None
    record: tuple[checkpoint.Step, ...] = field(default=())


def net_options(items: Sequence[str]) -> dict[str, Any]:
    """`neck=48`, `widths=[16,32,64,96,160]` -> values.

    Raises:
        UsageError: not KEY=JSON.
    """
    found = {}
    for item in items:
        key, _, value = item.partition("=")
        try:
            found[key] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise UsageError(f"--option wants KEY=VALUE with a number or a list, found {item!r}") from None
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
    if begun is None:
        return nets.build(order.net, order.net_options, len(labels)), order.net, dict(order.net_options), ()
    if begun.labels == labels:
        return checkpoint.module(begun), begun.net, begun.options, begun.record
    net, new = nets.migrate(begun.net, begun.options, (begun.labels, labels), begun.weights)
    logger.info(
        "%d of %d tensors are taken over from %s, which knows %s; new are %s",
        len(begun.weights) - len(new),
        len(begun.weights),
        order.start,
        ", ".join(begun.labels[:10]),
        ", ".join(new),
    )
    return net, begun.net, begun.options, begun.record


def run(order: Order, steps: Callable[[str], loop.Progress]) -> Outcome:
    """Train, and write the checkpoint, finished or not.

    Raises:
        UsageError, TrainingError: see their places.
    """
    torch.manual_seed(order.settings.seed)
    begun = None if order.start is None else checkpoint.load(order.start)
    prepared = _job_module(nets.load(begun.net if begun else order.net).TASK).prepare(order, steps)
    net, kind, options, record = net_of(order, begun, prepared.labels)
    job = prepared.job(net)
    made = loop.run(job, order.settings, order.output, steps, order.stop_after_s)
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
    checkpoint.save(body, order.output / MODEL)
    return made


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
    }
