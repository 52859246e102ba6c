"""The loop that trains every net: averaged weights, a rate that falls along a cosine, a checkpoint after each epoch.

An interrupted run goes on from its last epoch with the same command and ends with the same weights as one that was not
interrupted: what an epoch sees is drawn from (seed, epoch), and the checkpoint holds all that the steps change.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
import torch
from torch import Tensor, nn

from edgemass import durable
from edgemass.errors import EdgemassError, UsageError
from edgemass.progress import Steps
from edgemass_tools import checkpoint, curves

logger = logging.getLogger(__name__)

FORMAT = "edgemass.training/1"
MOST_BAD_STEPS = 10
_NO_DECAY_BELOW = 2  # dimensions: biases and normalisation are not pulled to zero

Batch = TypeVar("Batch")


Watch = Callable[[int, Mapping[str, float]], None]
"""Called with the epochs done and what was measured; what it raises ends the run."""


def look_away(epoch: int, measured: Mapping[str, float]) -> None:
    """Watch nothing."""


class TrainingError(EdgemassError):
    """The loss is no number any more; the last checkpoint is intact."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """epochs: in all. lr: highest rate; it ends at lr x lr_end. warmup: steps until it is reached, but at most
    a tenth of all. decay: AdamW's.

    average: decay of the averaged weights per step. clip: longest gradient. measure_every: epochs.
    precision: "fp32" or "bf16" (activations in training only). seed: of everything that is drawn.
    """

    epochs: int = 30
    lr: float = 2.5e-3
    lr_end: float = 0.02
    warmup: int = 200
    decay: float = 0.02
    average: float = 0.998
    clip: float = 10.0
    measure_every: int = 5
    precision: str = "bf16"
    seed: int = 0


class Job(Protocol[Batch]):
    """One kind of training.

    net: is trained in place. key: the figure of `measure` that says how good it is.
    """

    net: nn.Module
    key: str

    def steps(self, epoch: int) -> int:
        """Batches of an epoch."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """What an epoch sees, the same whenever it is asked for."""

    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Named parts, summed."""

    def measure(self, net: nn.Module) -> dict[str, float]:
        """On data that is held out."""


@dataclass(frozen=True)
class Prepared:
    """Data that was read, before there is a net.

    labels: by class id. description: of the data for the card, one line each, parted by "; ". job: makes the Job of a
    net.
    """

    labels: tuple[str, ...]
    description: str
    job: Callable[[nn.Module], Job[Any]]


@dataclass(frozen=True)
class Stop:
    """When to end before the last epoch; the same command goes on. after_s: of work. epoch: how many are done."""

    after_s: float | None = None
    epoch: int | None = None

    def now(self, epoch: int, worked_s: float) -> bool:
        """Whether to end between two epochs."""
        return (self.after_s is not None and worked_s >= self.after_s) or (
            self.epoch is not None and epoch >= self.epoch
        )


NEVER = Stop()


@dataclass
class State:
    """epoch: done so far. history: a row of figures for each. hours: worked."""

    epoch: int
    history: list[dict[str, float]]
    hours: float


@dataclass(frozen=True)
class Outcome:
    """weights: averaged. results: of the last measure. finished: no epoch is left. learnt: some were done just now."""

    weights: dict[str, Tensor]
    results: dict[str, float]
    hours: float
    finished: bool
    learnt: bool = True


def run(
    job: Job[Any],
    settings: Settings,
    folder: Path,
    progress: Steps,
    stop: Stop,
    watch: Watch = look_away,
) -> Outcome:
    """Train until the last epoch, or until `stop` says.

    folder: holds last.pt, history.jsonl and curves.png; a run that is already there is continued.

    Raises:
        UsageError: the folder holds a run with other settings, or cannot be written.
        TrainingError: the loss is no number any more.
    """
    return _Run(job, settings, folder, watch).go(progress, stop)


class _Run:
    def __init__(self, job: Job[Any], settings: Settings, folder: Path, watch: Watch) -> None:
        self._job, self._settings, self._folder, self._watch = job, settings, folder, watch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._net = job.net.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for parameter in self._net.parameters():
            parts[parameter.dim() >= _NO_DECAY_BELOW].append(parameter)
        self._optimizer = torch.optim.AdamW(
            [{"params": parts[0], "weight_decay": 0.0}, {"params": parts[1], "weight_decay": settings.decay}],
            lr=settings.lr,
        )
        self._average = {name: value.detach().clone() for name, value in self._net.state_dict().items()}
        self._state = State(0, [], 0.0)
        self._step = 0

    def go(self, progress: Steps, stop: Stop) -> Outcome:
        torch.manual_seed(self._settings.seed)
        self._resume()
        began = self._state.epoch
        started = time.monotonic()
        results: dict[str, float] = {}
        while self._state.epoch < self._settings.epochs:
            if stop.now(self._state.epoch, time.monotonic() - started):
                break
            results = self._epoch(progress) or results
        finished = self._state.epoch >= self._settings.epochs
        if not results:
            results = self._measured()
        return Outcome(self._average, results, self._state.hours, finished, self._state.epoch > began)

    def _epoch(self, progress: Steps) -> dict[str, float]:
        number, began = self._state.epoch, time.monotonic()
        total = self._job.steps(number)
        show = progress(f"epoch {number + 1} of {self._settings.epochs}")
        sums: dict[str, float] = {}
        bad = 0
        self._net.train()
        for done, batch in enumerate(self._job.batches(number), start=1):
            parts = self._train(batch, self._rate(number + done / total))
            bad = 0 if parts else bad + 1
            if bad > MOST_BAD_STEPS:
                raise TrainingError(
                    f"the loss was no number in {bad} steps in a row of epoch {number + 1}; try a lower --lr (it is "
                    f"{self._settings.lr:g}) or --precision fp32. {self._folder / 'last.pt'} holds epoch {number}"
                )
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
            show(done, total)
        self._state.epoch += 1
        row = {"epoch": float(self._state.epoch), **{f"loss_{k}": v / max(total, 1) for k, v in sums.items()}}
        measured: dict[str, float] = {}
        if self._state.epoch % self._settings.measure_every == 0 or self._state.epoch == self._settings.epochs:
            measured = self._measured()
            logger.info("epoch %d: %s", self._state.epoch, ", ".join(f"{k} {v:.3f}" for k, v in measured.items()))
        self._state.history.append(row | measured)
        self._state.hours += (time.monotonic() - began) / 3600
        self._keep(drawn=bool(measured))
        if measured:
            self._watch(self._state.epoch, measured)
        return measured

    def _train(self, batch: Any, rate: float) -> dict[str, float]:
        """One step; nothing where the loss or its slope is no number, and nothing is changed then."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._settings.precision == "bf16"):
            parts = dict(self._job.loss(self._net, batch))
        total = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(total):
            return {}
        self._optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        length = nn.utils.clip_grad_norm_(self._net.parameters(), self._settings.clip)
        if not torch.isfinite(length):
            return {}
        self._optimizer.step()
        self._step += 1
        keep = min(self._settings.average, (1 + self._step) / (10 + self._step))
        with torch.no_grad():
            for name, value in self._net.state_dict().items():
                if value.is_floating_point():
                    self._average[name].lerp_(value, 1 - keep)
                else:
                    self._average[name].copy_(value)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _rate(self, epoch: float) -> float:
        settings = self._settings
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
        rate = settings.lr * (settings.lr_end + (1 - settings.lr_end) * fall)
        warmup = min(settings.warmup, settings.epochs * self._job.steps(0) // 10)
        return rate * min(1.0, (self._step + 1) / max(1, warmup))

    def _measured(self) -> dict[str, float]:
        own = {name: value.clone() for name, value in self._net.state_dict().items()}
        self._net.load_state_dict(self._average)
        self._net.eval()
        try:
            return self._job.measure(self._net)
        finally:
            self._net.load_state_dict(own)

    def _keep(self, *, drawn: bool) -> None:
        body = {
            "format": FORMAT,
            "settings": json.dumps(msgspec.to_builtins(self._settings), sort_keys=True),
            "net": self._net.state_dict(),
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
            "epoch": self._state.epoch,
            "step": self._step,
            "history": self._state.history,
            "hours": self._state.hours,
        }
        checkpoint.write(body, self._folder / "last.pt")
        rows = "".join(json.dumps(row) + "\n" for row in self._state.history)
        durable.write_bytes(self._folder / "history.jsonl", rows.encode())
        if drawn or self._state.epoch >= self._settings.epochs:  # drawing takes as long as a small epoch
            curves.draw(self._state.history, self._folder / "curves.png")

    def _resume(self) -> None:
        path = self._folder / "last.pt"
        if not path.is_file():
            return
        body = checkpoint.read(path)
        wanted = json.dumps(msgspec.to_builtins(self._settings), sort_keys=True)
        if body.get("format") != FORMAT:
            raise UsageError(f"{path} is no training of ours; give another folder with -o")
        if body["settings"] != wanted:
            raise UsageError(
                f"{path} was begun with other settings: {body['settings']}, asked for now: {wanted}; give the same to "
                "go on, or another folder with -o"
            )
        try:
            self._net.load_state_dict(body["net"])
        except RuntimeError as error:
            raise UsageError(f"{path} holds another net than was asked for; give another folder with -o") from error
        self._average = {name: value.to(self._device) for name, value in body["average"].items()}
        self._optimizer.load_state_dict(body["optimizer"])
        self._state = State(body["epoch"], body["history"], body["hours"])
        self._step = body["step"]
        logger.info("going on after epoch %d", self._state.epoch)
