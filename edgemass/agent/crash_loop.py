"""What to run without when the process dies again and again soon after its start.

Every start is counted in a small file before anything is loaded, and taken back when it has run well for a while, or
has ended for a reason that is no fault of model or accelerator. Three in a row: the accelerator is left out. Three more:
the model. That holds until the board is booted, or something else is to run: then it is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgemass import durable
from edgemass.backends import choice
from edgemass.config import Config
from edgemass.errors import UsageError

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
    open: int = 0
    step: int = 0


def steps(*, accelerated: bool, other_model: bool) -> tuple[Step, ...]:
    """From everything to the least, for what this board is to run."""
    found = [Step()]
    if accelerated:
        found.append(Step(accelerator=True, reason="the model runs plainly on the CPU"))
    if other_model:
        found.append(Step(accelerator=accelerated, model=True, reason="another model runs, plainly on the CPU"))
    return tuple(found)


def begin(starts: Starts, subject: str, boot_id: str, ways: Sequence[Step]) -> tuple[Starts, Step, bool]:
    """A process starts: what to remember, what to leave out, and whether that is more than before."""
    if starts.subject != subject:
        starts = Starts(subject, boot_id)
    step = starts.step if starts.boot_id == boot_id else 0
    crashes = starts.open
    further = crashes >= MOST_CRASHES and step + 1 < len(ways)
    if further:
        step, crashes = step + 1, 0
    step = min(step, len(ways) - 1)
    return Starts(subject, boot_id, crashes + 1, step), ways[step], further


def well(starts: Starts) -> Starts:
    return msgspec.structs.replace(starts, open=0)


class CrashLoop:
    """The file of one state folder. A disk that takes nothing stops nobody: then nothing is counted.

    step: what this start leaves out.
    """

    def __init__(self, folder: Path) -> None:
        self.step = Step()
        self._path = folder / FILE
        self._starts = Starts()
        self._began_ns: int | None = None
        self._first_frame_ns: int | None = None

    def begin(self, subject: str, boot_id: str, ways: Sequence[Step]) -> Step:
        """Count this start, and say what it is to leave out."""
        self._starts, self.step, further = begin(self._read(), subject, boot_id, ways)
        self._write()
        if further:
            logger.error("after %d starts in a row that did not last, %s", MOST_CRASHES, self.step.reason)
        elif self.step.reason:
            logger.warning("%s, since it died again and again", self.step.reason)
        return self.step

    @property
    def problem(self) -> str:
        """What is left out and why, for health; "" where nothing is."""
        return f"{self.step.reason}: it died again and again soon after its start" if self.step.reason else ""

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

    def _read(self) -> Starts:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Starts)
        except FileNotFoundError:
            return Starts()
        except (OSError, msgspec.DecodeError) as error:
            logger.warning("it is not known how earlier starts went: %s", error)
            return Starts()

    def _write(self) -> None:
        try:
            durable.make_folder(self._path.parent)
            durable.write_bytes(self._path, msgspec.json.encode(self._starts))
        except OSError as error:
            logger.warning("starts are not counted: %s: %s", self._path, error.strerror)


def on_the_cpu(config: Config) -> Config:
    """The configuration without its accelerators, and without what was measured to be faster.

    Raises:
        UsageError: the configuration's own backends cannot be read.
    """
    asked = choice.parse(config.backend) if config.backend else ()
    kept = tuple(dict.fromkeys(f"{one.runtime}:cpu" for one in asked)) or PLAINLY
    return msgspec.structs.replace(config, backend=kept, strict=False, tune=False)


def may_run_plainer(config: Config) -> bool:
    """Whether `on_the_cpu` changes anything: an accelerator is asked for, or nothing is, so that what was measured runs."""
    if config.backend is None:
        return config.threads is None and config.variant is None
    try:
        return any(one.accelerated for one in choice.parse(config.backend))
    except UsageError:
        return False  # said where it is used
