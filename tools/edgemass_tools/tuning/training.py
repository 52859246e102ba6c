"""Settings of a training, by short trainings; one that falls behind the others is given up."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from edgemass.errors import UsageError
from edgemass.progress import Steps
from edgemass_tools import nets
from edgemass_tools.data import augment, whole
from edgemass_tools.training import classification, detection_loss, runs
from edgemass_tools.training.options import chosen
from edgemass_tools.training.runs import Order
from edgemass_tools.tuning.space import Parameter, Settings, Space
from edgemass_tools.tuning.study import Attempt, Objective

KEYS = {"detection": "map_50", "classification": "top1"}  # TASK -> the figure that is made large
SCALE = ("scale_low", "scale_high")
_AUGMENT = {
    "mosaic": Parameter(0.0, 0.0, 1.0),
    "stretch": Parameter(0.0, 0.0, 0.5),
    "turn": Parameter(0.0, 0.0, 25.0),
    "recolor": Parameter(0.0, 0.0, 1.0),
    "blur": Parameter(0.0, 0.0, 0.4),
}
_LOSS = {
    "top": Parameter(0, 3, 20),
    "alignment": Parameter(0.0, 1.0, 7.0),
    "prior": Parameter(0.0, 0.05, 2.0),
    "gain_box": Parameter(0.0, 0.5, 5.0),
    "smoothing": Parameter(0.0, 0.0, 0.3),
}


def task(order: Order) -> str:
    """What the net of an order does.

    Raises:
        UsageError: no training of such a net can be searched.
    """
    found = nets.load(order.net).TASK
    if found not in KEYS:
        raise UsageError(f"trainings of {order.net} cannot be searched, only those for {', '.join(KEYS)}")
    return found


def space(order: Order) -> dict[str, Parameter]:
    """What can be searched; the defaults are the order's own settings."""
    own, lost = _options(order)
    low, high = own["scale"]
    found = {
        "lr": Parameter(order.settings.lr, 2e-4, 2e-2, log=True),
        "decay": Parameter(order.settings.decay, 1e-3, 0.3, log=True),
        "scale_low": Parameter(float(low), 0.3, 1.0),
        "scale_high": Parameter(float(high), 1.0, 2.2),
    }
    for name, parameter in _AUGMENT.items():
        if name in own:
            found[name] = replace(parameter, default=float(own[name]))
    for name, parameter in _LOSS.items():
        if name in lost:
            found[name] = replace(parameter, default=type(parameter.default)(lost[name]))
    return found


def _options(order: Order) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of augmentation and loss, with what the order changes."""
    own: msgspec.Struct = augment.Augment()
    lost: msgspec.Struct = detection_loss.LossOptions()
    if task(order) == "classification":
        own, lost = whole.Augment(), classification.LossOptions()
    changed = chosen(own, order.augment, "--augment"), chosen(lost, order.loss, "--loss")
    return msgspec.structs.asdict(changed[0]), msgspec.structs.asdict(changed[1])


def applied(order: Order, settings: Settings) -> Order:
    """The order with the settings of a trial."""
    own, _ = _options(order)
    given: Mapping[str, Any] = settings
    scale = [given.get(name, value) for name, value in zip(SCALE, own["scale"], strict=True)]
    changed = {**order.augment, **{name: given[name] for name in _AUGMENT if name in given}}
    if any(name in given for name in SCALE):
        changed["scale"] = scale
    loop_settings = msgspec.structs.replace(
        order.settings, lr=given.get("lr", order.settings.lr), decay=given.get("decay", order.settings.decay)
    )
    lost = {**order.loss, **{name: given[name] for name in _LOSS if name in given}}
    return replace(order, settings=loop_settings, augment=changed, loss=lost)


def objective(order: Order, steps: Steps) -> Objective:
    """Train with the settings of a trial in a folder that is removed, and tell the figure of its last measure.

    Raises:
        UsageError: nothing is held out to measure with.
    """
    key = KEYS[task(order)]
    if key == "map_50" and order.held is None:
        raise UsageError("a search needs --val-annotations and --val-images: what is learnt from cannot tell")

    def train(attempt: Attempt) -> float:
        measured: list[float] = []

        def watch(epoch: int, figures: Mapping[str, float]) -> None:
            measured.append(figures[key])
            if epoch < order.settings.epochs:
                attempt.report(epoch, figures[key])

        with tempfile.TemporaryDirectory(prefix="edgemass-tune.") as folder:
            trial = replace(applied(order, attempt.settings), output=Path(folder))
            made = runs.run(trial, lambda what: steps(f"trial {attempt.number}, {what}"), watch)
        attempt.notes["hours"] = round(made.hours, 4)
        return measured[-1] if measured else made.results[key]

    return train


def described(order: Order, space: Space) -> dict[str, Any]:
    """What must be the same to go on with a search."""
    return {
        "net": order.net,
        "net_options": dict(order.net_options),
        "start": str(order.start or ""),
        "data": [str(path) for pair in order.pairs for path in pair] + [str(order.folders or "")],
        "size": list(order.size),
        "epochs": order.settings.epochs,
        "batch": order.batch,
        "per_epoch": order.per_epoch,
        "measure_every": order.settings.measure_every,
        "over": list(space),
    }
