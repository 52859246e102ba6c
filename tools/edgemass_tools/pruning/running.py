"""A pruning from what was asked for to the checkpoint it leaves; interrupted, the same command goes on."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edgemass.errors import UsageError
from edgemass.progress import Steps
from edgemass_tools import checkpoint
from edgemass_tools.checkpoint import Checkpoint, Step
from edgemass_tools.pruning import channels, operations
from edgemass_tools.training import detection, runs

KIND = "edge-detector"
CUT = "cut.pt"
"""The net after the cut, before the fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    source: the checkpoint to prune. share: of its multiply-accumulates that may stay. looks: batches that tell what
    channels are worth. tuning: the fine-tuning, its data, and the folder; its `start` is set here. finetune: do it.
    """

    source: Path
    share: float
    tuning: runs.Order
    looks: int = 16
    finetune: bool = True


@dataclass(frozen=True)
class Pruned:
    """cut: the step of the record that tells of it. tuned: after fine-tuning, {} without. finished: nothing is left."""

    cut: Step
    tuned: dict[str, float]
    finished: bool


def run(order: Order, steps: Steps) -> Pruned:
    """Cut, fine-tune, and write the checkpoint.

    Raises:
        UsageError: not a checkpoint of ours, a share that cannot be reached, a folder with another pruning; and as
            training does.
    """
    if not 0 < order.share < 1:
        raise UsageError(f"--operations is the share that stays, between 0 and 1, such as 0.6; found {order.share:g}")
    source = checkpoint.load(order.source)
    if source.net != KIND:
        raise UsageError(f"{order.source} is a {source.net!r}; only nets of kind {KIND!r} are pruned")
    folder = order.tuning.output
    path = folder / CUT
    asked = _settings(order)
    if path.is_file():
        step = checkpoint.load(path).record[-1]
        if step.settings != asked:
            raise UsageError(
                f"{path} was begun with other settings: {step.settings}, asked for now: {asked}; give the same to go "
                "on, or another folder with -o"
            )
    else:
        body = _cut(order, source, asked, steps)
        checkpoint.save(body, path)
        step = body.record[-1]
    if not order.finetune:
        checkpoint.save(checkpoint.load(path), folder / runs.MODEL)
        return Pruned(step, {}, finished=True)
    made = runs.run(replace(order.tuning, start=path, labels=source.labels), steps)
    return Pruned(step, made.results, made.finished)


def _cut(order: Order, source: Checkpoint, asked: dict[str, Any], steps: Steps) -> Checkpoint:
    """The pruned net with what it was and is, measured where there is something to measure on."""
    began = time.monotonic()
    tuning, size = replace(order.tuning, labels=source.labels), order.tuning.size
    torch.manual_seed(tuning.settings.seed)
    prepared = detection.prepare(tuning, steps)
    net = checkpoint.module(source).to("cuda" if torch.cuda.is_available() else "cpu")
    job = prepared.job(net)
    results = _figures(net, size, "before")
    steps("measuring before the cut")(0, 1)
    results |= _named(job.measure(net), "before")
    batches = list(islice(job.batches(max(0, tuning.settings.epochs - 1)), order.looks))
    channels.cut(net, size, order.share, job.loss, batches, steps("cutting"))
    steps("measuring after the cut")(0, 1)
    results |= _figures(net, size, "after") | _named(job.measure(net), "cut")
    step = checkpoint.step(
        "prune",
        data=tuple(prepared.description.split("; ")),
        settings=asked,
        results=results,
        hours=round((time.monotonic() - began) / 3600, 3),
    )
    weights = {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}
    return msgspec.structs.replace(
        source, width=size[0], height=size[1], weights=weights, record=(*source.record, step)
    )


def _figures(net: nn.Module, size: tuple[int, int], when: str) -> dict[str, float]:
    return {
        f"operations_{when}": float(operations.count(net, size)),
        f"parameters_{when}": float(operations.parameters(net)),
    }


def _named(figures: dict[str, float], when: str) -> dict[str, float]:
    return {f"{name}_{when}": value for name, value in figures.items()}


def _settings(order: Order) -> dict[str, Any]:
    """What the cut depends on, as a checkpoint keeps it."""
    tuning = order.tuning
    digest = hashlib.sha256(order.source.read_bytes()).hexdigest()
    return {
        "operations": order.share,
        "source": digest,
        "looks": order.looks,
        "size": f"{tuning.size[0]}x{tuning.size[1]}",
        "batch": tuning.batch,
        "seed": tuning.settings.seed,
    }
