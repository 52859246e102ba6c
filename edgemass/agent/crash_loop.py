"""What to run without when the process dies again and again soon after its start.

Every start is counted in a small file before anything is loaded, and taken back when it has run well for a while, or
has ended for a reason that is no fault of model or accelerator. Three in a row: the accelerator is left out. Three
more: the model. That holds until the board is booted, or something else is to run: then it is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, NamedTuple, final

import msgspec

from edgemass import __version__
from edgemass.agent.starting import DEFAULT_MODEL
from edgemass.backends import choice
from edgemass.clock import Clock, boot_id
from edgemass.config import Config
from edgemass.errors import UsageError
from edgemass.pipeline.ledger import Ledger
from edgemass.store import ModelStore

logger = logging.getLogger(__name__)

FILE = "starts.json"
MOST_CRASHES = 3
WELL_S = 60.0
"""Of frames, after which a start has gone well."""
PLAINLY = ("onnx:cpu", "tflite:cpu")
IDLE_S = 600.0
"""Without any frame, as where the camera is away."""


class Step(NamedTuple):
    """What is left out. reason: in words, for people."""

    accelerator: bool = False
    model: bool = False
    reason: str = ""


class Starts(msgspec.Struct, frozen=True):
    """What is remembered. open: starts in a row of which nobody knows that they went well.

    subject: what was to run; boot_id: of the boot that `step` holds in.
    """

    subject: str = ""
    boot_id: str = ""
    open: Annotated[int, msgspec.Meta(ge=0)] = 0
    step: Annotated[int, msgspec.Meta(ge=0)] = 0


def steps(*, accelerated: bool, other_model: bool) -> tuple[Step, ...]:
    """From everything to the least, for what this board is to run."""
    found = [Step()]
    if accelerated:
        found.append(Step(accelerator=True, reason="the model runs plainly on the CPU"))
    if other_model:
        found.append(Step(accelerator=accelerated, model=True, reason="another model runs, plainly on the CPU"))
    return tuple(found)


def begin(starts: Starts, subject: str, boot: str, ways: Sequence[Step]) -> tuple[Starts, Step, bool]:
    """A process starts: what to remember, what to leave out, and whether that is more than before."""
    if starts.subject != subject:
        starts = Starts(subject, boot)
    step = starts.step if starts.boot_id == boot else 0
    crashes = starts.open
    further = crashes >= MOST_CRASHES and step + 1 < len(ways)
    if further:
        step, crashes = step + 1, 0
    step = min(step, len(ways) - 1)
    return Starts(subject, boot, crashes + 1, step), ways[step], further


def well(starts: Starts) -> Starts:
    return msgspec.structs.replace(starts, open=0)


@final
class CrashLoop:
    """The file of one state folder, over one run: a `with` block. A disk that takes nothing stops nobody.

    step: what this run leaves out. well: set when the run has ended without a fault of model or accelerator.
    """

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        """folder: of the state; None = nobody starts this process again and again, and nothing is counted."""
        self.step = Step()
        self.well = False
        self._ledger = None if folder is None else Ledger(folder / FILE, Starts, "counts of starts", clock, every_s=0)
        self._starts = Starts()
        self._began_ns: int | None = None
        self._first_frame_ns: int | None = None

    def __enter__(self) -> CrashLoop:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self.well or (kind is not None and issubclass(kind, KeyboardInterrupt)):  # told to end while it loaded
            self.forgive()

    def begin(self, subject: str, ways: Sequence[Step], boot: str | None = None) -> None:
        """Count this start, and find out what it is to leave out."""
        if self._ledger is None:
            return
        before = self._ledger.read() or Starts()
        self._starts, self.step, further = begin(before, subject, boot or boot_id(), ways)
        self._write()
        if further:
            logger.error("%d starts in a row did not last: %s", MOST_CRASHES, self.step.reason)
        elif self.step.reason:
            logger.warning("as starts did not last, %s", self.step.reason)

    @property
    def problem(self) -> str:
        """What is left out and why, for people; "" where nothing is."""
        return f"{self.step.reason}, as it died again and again soon after its start" if self.step.reason else ""

    def look(self, frames: int, now_ns: int) -> None:
        """Called now and then. frames: that were processed so far."""
        if not self._starts.open:
            return
        if self._began_ns is None:
            self._began_ns = now_ns
        if frames and self._first_frame_ns is None:
            self._first_frame_ns = now_ns
        since_frame_s = 0.0 if self._first_frame_ns is None else (now_ns - self._first_frame_ns) / 1e9
        if since_frame_s >= WELL_S or (now_ns - self._began_ns) / 1e9 >= IDLE_S:
            self.forgive()

    def forgive(self) -> None:
        """It went well, or ended for another reason."""
        if self._starts.open:
            self._starts = well(self._starts)
            self._write()

    def _write(self) -> None:
        if self._ledger is not None:
            self._ledger.write(self._starts)


def on_the_cpu(config: Config) -> Config:
    """The configuration without its accelerators, and without what was measured to be faster.

    Raises:
        UsageError: the configuration's own backends cannot be read.
    """
    asked = choice.parse(config.backend) if config.backend else ()
    kept = tuple(dict.fromkeys(f"{one.runtime}:cpu" for one in asked)) or PLAINLY
    return msgspec.structs.replace(config, backend=kept, strict=False, tune=False)


def may_run_plainer(config: Config) -> bool:
    """Whether `on_the_cpu` changes anything: an accelerator is asked for, or nothing: what was measured runs."""
    if config.backend is None:
        return config.threads is None and config.variant is None
    try:
        return any(one.accelerated for one in choice.parse(config.backend))
    except UsageError:
        return False  # said where it is used


def what_runs(config: Config, store: ModelStore | None, slot: str) -> tuple[str, tuple[Step, ...]]:
    """What is to run here, as a name of its own, and what it may be run without."""
    digest = store.slot(slot).running if store is not None else None
    backend, model = config.backend, config.model or DEFAULT_MODEL
    named = (__version__, digest or model, backend, config.threads, config.variant, config.profile)
    other_model = digest is not None or model != DEFAULT_MODEL
    return repr(named), steps(accelerated=may_run_plainer(config), other_model=other_model)


def without(step: Step, config: Config, store: ModelStore | None, slot: str) -> tuple[Config, str]:
    """The configuration with what is left out, and the digest in the store that is; "" = none is.

    Raises:
        UsageError: the configuration's own backends cannot be read.
    """
    if step.accelerator:
        config = on_the_cpu(config)
    if not step.model:
        return config, ""
    digest = store.slot(slot).running if store is not None else None
    if digest is None:
        config = msgspec.structs.replace(config, model=None, variant=None)
    return config, digest or ""
