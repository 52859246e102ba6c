"""A training of a sequence net from what was asked for to the checkpoint it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from edgemass.errors import UsageError
from edgemass.progress import Steps
from edgemass_tools import checkpoint, nets
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.data import sequences
from edgemass_tools.data.sequences import Data
from edgemass_tools.nets import lstm_digits
from edgemass_tools.training import loop
from edgemass_tools.training.loop import Outcome, Settings
from edgemass_tools.training.sequence import ByteJob, RowJob

MODEL, HELD = "model.pt", "held"
"""HELD: a folder of what was measured on, see data.sequences.write_held."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for; see the options of `edgemass-tools train`.

    data: a CSV of texts; a sheet of digits, or a folder with one folder a class. val: the like, held out.
    """

    net: str
    net_options: Mapping[str, Any]
    start: Path | None
    data: Path
    val: Path | None
    batch: int
    settings: Settings
    output: Path
    stop: loop.Stop = loop.NEVER


def run(order: Order, steps: Steps) -> Outcome:
    """Train, and write the checkpoint, finished or not.

    Raises:
        UsageError, TrainingError: see their places.
    """
    torch.manual_seed(order.settings.seed)
    data: Data[Any]
    kind: type[RowJob | ByteJob]
    if order.net == "lstm-text":
        kind, data = ByteJob, sequences.texts(order.data, order.val)
    else:
        options = nets.chosen(order.net, order.net_options)
        assert isinstance(options, lstm_digits.Options)
        kind, data = RowJob, sequences.pictures(order.data, order.val, options.side)
    net, record = _net(order, data.labels)
    job = kind(net=net, train=data.train, held=data.held, batch_size=order.batch, seed=order.settings.seed)
    made = loop.run(job, order.settings, order.output, steps, order.stop)
    step = checkpoint.step(
        "train",
        data=(data.description,),
        settings={**msgspec.to_builtins(order.settings), "batch": order.batch},
        results=made.results,
        hours=round(made.hours, 3),
    )
    body = Checkpoint(
        net=order.net,
        options=dict(order.net_options),
        labels=data.labels,
        width=0,
        height=0,
        weights=made.weights,
        record=(*record, step),
    )
    sequences.write_held(data, order.output / HELD)
    checkpoint.save(body, order.output / MODEL)
    return made


def _net(order: Order, labels: tuple[str, ...]) -> tuple[nn.Module, tuple[checkpoint.Step, ...]]:
    """A fresh net, or one that begins with the weights of another, and how those came about."""
    if order.start is None:
        return nets.build(order.net, order.net_options, len(labels)), ()
    begun = checkpoint.load(order.start)
    if (begun.net, begun.options) != (order.net, dict(order.net_options)):
        raise UsageError(
            f"{order.start} holds a {begun.net} with options {begun.options}, asked for was {order.net} with "
            f"{dict(order.net_options)}; give --net and --option as it has them"
        )
    if begun.labels == labels:
        return checkpoint.module(begun), begun.record
    net, _ = nets.migrate(begun.net, begun.options, (begun.labels, labels), begun.weights)
    return net, begun.record
