"""Accelerators in order of preference above the CPU: down when one fails, up again when it works.

The frame loop never waits for a load. When an accelerator fails, the very frame runs on the CPU, which is always
loaded; what stands between and what failed is tried in a thread of its own, and taken between two frames.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgemass.backends import Backend, agreement, check_runs
from edgemass.backends.watched import Watched
from edgemass.clock import Clock, rfc3339
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray, Outputs, TensorInfo

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 3600.0
FORGIVEN_AFTER_S = 3600.0
MOST_HANGING = 3
CLOSE_S = 5.0
_NS = 1_000_000_000


@dataclass(frozen=True)
class Candidate:
    """An accelerator that may run the model.

    requested: its name in documents. variant: of the file it runs. open: loads it. try_out: loads and runs it in a
    child process; the event ends that early. load_s, run_s: deadlines.
    """

    requested: str
    variant: str
    open: Callable[[], Backend]
    try_out: Callable[[threading.Event], None]
    load_s: float
    run_s: float


@dataclass(frozen=True)
class Floor:
    """The CPU: loaded all the time, it takes over at once and is what numbers are compared with."""

    backend: Backend
    variant: str


@dataclass(frozen=True)
class Sample:
    """A made-up input. unordered: the graph sorts its answer; see agreement."""

    inputs: Mapping[str, AnyArray]
    unordered: bool = False


@dataclass(frozen=True)
class Degraded:
    """Something less than what was asked for runs. since: RFC 3339."""

    requested: str
    running: str
    reason: str
    since: str


@dataclass
class _Rung:
    """due_ns: when to try it (monotonic); None: not to be tried, it runs or a better one does."""

    candidate: Candidate
    backend: Watched | None = None
    reason: str = ""
    since: str = ""
    failures: int = 0
    due_ns: int | None = None
    taken_ns: int = 0
    old: list[Watched] = field(default_factory=list)


def pause_s(failures: int, draw: float) -> float:
    """Pause before an accelerator is tried again: doubles from 30 s to an hour; a draw takes off up to a third.

    failures: in a row, at least 1. draw: uniform in [0, 1]; 1 leaves the pause whole. Never below 30 s.
    """
    ceiling = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))
    return max(FIRST_PAUSE_S, ceiling * (2 + draw) / 3)


class Ladder:
    """A Backend that runs on the best of its candidates that works; used by one thread at a time.

    variant: of the file that runs now. degraded: what is wrong, None while the first choice runs.
    name, variant and degraded change only inside `run`: after it they tell of that very run.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        floor: Floor | None,
        *,
        sample: Sample,
        strict: bool,
        clock: Clock,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Climb to the first candidate that works.

        strict: run on the first candidate or not at all.

        Raises:
            BackendError: nothing works, or not what strict asks for.
        """
        self._rungs = [_Rung(candidate) for candidate in candidates]
        self._floor = floor
        self._sample = sample
        self._strict = strict
        self._clock = clock
        self._draw = draw
        self._reference = agreement.keep(floor.backend.run(sample.inputs)) if floor and candidates else None
        self._lock = threading.Lock()
        self._standing = len(self._rungs)  # index of what runs; past the end is the floor
        self._ready: tuple[int, Watched] | None = None
        self._broken: BackendError | None = None
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._prober: threading.Thread | None = None
        self._climb()

    def _climb(self) -> None:
        for index, rung in enumerate(self._rungs):
            try:
                rung.backend = self._load(rung)
            except BackendError as error:
                if self._strict:
                    self.close()
                    self._note_failure(rung, error)
                    raise BackendError(f"{rung.reason}; leave out --strict to run on something else") from error
                self._note_failure(rung, error)
                continue
            self._standing = index
            rung.taken_ns = self._clock.monotonic_ns()
            break
        running = self._running()
        if running is None:
            raise BackendError(self._reasons())
        self.requested = self._rungs[0].candidate.requested if self._rungs else running.requested
        self.version = running.version
        self.inputs: tuple[TensorInfo, ...] = running.inputs
        self.outputs: tuple[TensorInfo, ...] = running.outputs
        if self.degraded is not None:
            logger.warning("running on %s: %s", running.name, self._reasons(), extra={"requested": self.requested})
        self._start_prober()

    @property
    def name(self) -> str:
        """See Backend."""
        running = self._running()
        assert running is not None
        return running.name

    @property
    def variant(self) -> str:
        if self._standing < len(self._rungs):
            return self._rungs[self._standing].candidate.variant
        return self._floor.variant if self._floor else ""

    @property
    def degraded(self) -> Degraded | None:
        if self._standing == 0:
            return None
        return Degraded(self.requested, self.name, self._reasons(), self._rungs[0].since)

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        """See Backend. An accelerator that fails is given up, and the same inputs run on the CPU."""
        if self._broken is not None:
            raise self._broken
        if self._ready is not None:
            self._take_ready()
        if self._standing < len(self._rungs):
            rung = self._rungs[self._standing]
            assert rung.backend is not None
            try:
                return rung.backend.run(inputs)
            except BackendError as error:
                self._give_up(rung, error)
        assert self._floor is not None
        return self._floor.backend.run(inputs)

    def close(self) -> None:
        """See Backend."""
        self._closing.set()
        self._wake.set()
        prober = self._prober
        if prober is not None:
            prober.join(CLOSE_S)
        with self._lock:
            left = [self._ready[1]] if self._ready else []
            for rung in self._rungs:
                left += [*rung.old, *([rung.backend] if rung.backend else [])]
        for watched in left:
            watched.close()
        if self._floor is not None:
            self._floor.backend.close()

    def _running(self) -> Backend | None:
        if self._standing < len(self._rungs):
            watched = self._rungs[self._standing].backend
            return watched.backend if watched else None
        return self._floor.backend if self._floor else None

    def _reasons(self) -> str:
        return "; ".join(rung.reason for rung in self._rungs[: self._standing] if rung.reason)

    def _give_up(self, rung: _Rung, error: BackendError) -> None:
        """Leave an accelerator that failed while it ran.

        Raises:
            BackendError: strict, or there is no CPU to run on.
        """
        with self._lock:
            assert rung.backend is not None
            rung.old.append(rung.backend)
            rung.backend = None
            if self._clock.monotonic_ns() - rung.taken_ns >= FORGIVEN_AFTER_S * _NS:
                rung.failures = 0
            self._note_failure(rung, error)
            now_ns = self._clock.monotonic_ns()
            for lower in self._rungs[self._rungs.index(rung) + 1 :]:
                lower.due_ns = now_ns if lower.due_ns is None else lower.due_ns
            self._standing = len(self._rungs)
        if self._strict or self._floor is None:
            left = "--strict allows nothing else" if self._strict else "there is nothing else to run the model on"
            self._broken = BackendError(f"{rung.reason}; {left}")
            raise self._broken from error
        logger.warning("running on %s: %s", self.name, rung.reason, extra={"requested": self.requested})
        self._start_prober()
        self._wake.set()

    def _note_failure(self, rung: _Rung, error: BackendError) -> None:
        rung.failures += 1
        if not rung.reason:
            rung.since = rfc3339(self._clock.time_ns())
        name = rung.candidate.requested
        rung.reason = str(error) if str(error).startswith(name) else f"{name}: {error}"
        rung.due_ns = self._clock.monotonic_ns() + round(pause_s(rung.failures, self._draw()) * _NS)

    def _take_ready(self) -> None:
        """Between two frames: what the probing thread has loaded and found good."""
        with self._lock:
            if self._ready is None:
                return
            index, watched = self._ready
            self._ready = None
            for lower in self._rungs[index + 1 :]:
                if lower.backend is not None:
                    lower.old.append(lower.backend)
                lower.backend = lower.due_ns = None
            rung = self._rungs[index]
            rung.backend, rung.reason, rung.due_ns = watched, "", None
            rung.taken_ns = self._clock.monotonic_ns()
            self._standing = index
        logger.info("running on %s again", self.name, extra={"requested": self.requested})
        self._wake.set()

    # What follows runs in the probing thread (and `_load` at the start in the opening one).

    def _start_prober(self) -> None:
        with self._lock:
            if self._closing.is_set() or self._prober is not None or self._strict:
                return
            if not any(rung.due_ns is not None or rung.old for rung in self._rungs):
                return
            self._prober = threading.Thread(target=self._probe, name="backend-probe", daemon=True)
            self._prober.start()

    def _probe(self) -> None:
        try:
            while not self._closing.is_set():
                self._wake.clear()
                self._close_old()
                index, wait_s = self._next_due()
                if index is None:
                    self._clock.wait(self._wake, LONGEST_PAUSE_S)
                elif wait_s > 0:
                    self._clock.wait(self._wake, wait_s)
                else:
                    self._try_again(index)
        except Exception:  # the thread's outermost line
            logger.exception("accelerators are not tried again")

    def _next_due(self) -> tuple[int | None, float]:
        """The rung above what runs, or will run next, that is due first, and the seconds until then."""
        with self._lock:
            best = self._ready[0] if self._ready else self._standing
            due = [(rung.due_ns, index) for index, rung in enumerate(self._rungs[:best]) if rung.due_ns is not None]
            if not due:
                return None, 0.0
            due_ns, index = min(due)
            return index, (due_ns - self._clock.monotonic_ns()) / _NS

    def _try_again(self, index: int) -> None:
        rung = self._rungs[index]
        try:
            watched = self._load(rung)
        except BackendError as error:
            logger.debug("%s does not work yet: %s", rung.candidate.requested, error)
            with self._lock:
                self._note_failure(rung, error)
            return
        with self._lock:
            if self._ready is not None:
                self._rungs[self._ready[0]].old.append(self._ready[1])
            self._ready = (index, watched)
            rung.due_ns = None

    def _close_old(self) -> None:
        """Free what was given up; what hangs stays counted."""
        with self._lock:
            old = [(rung, watched) for rung in self._rungs for watched in rung.old]
        for rung, watched in old:
            watched.close()
            if not watched.hanging:
                with self._lock:
                    rung.old.remove(watched)

    def _load(self, rung: _Rung) -> Watched:
        """Load one candidate and see that it is what it says and computes what the CPU computes.

        Raises:
            BackendError: it is not, or does not.
        """
        candidate = rung.candidate
        stuck = sum(watched.hanging for watched in rung.old)
        if stuck >= MOST_HANGING:
            raise BackendError(f"{candidate.requested} hangs: {stuck} calls have not come back")
        candidate.try_out(self._closing)
        watched = Watched(
            candidate.requested, candidate.open, clock=self._clock, load_s=candidate.load_s, run_s=candidate.run_s
        )
        try:
            check_runs(watched.backend)
            self._check_tensors(watched.backend)
            outputs = watched.run(self._sample.inputs, candidate.load_s)
            self._check_numbers(candidate, outputs)
        except BackendError:
            watched.close()
            if watched.hanging:
                with self._lock:
                    rung.old.append(watched)
            raise
        return watched

    def _check_tensors(self, backend: Backend) -> None:
        if self._floor is None:
            return
        for kind, ours, wanted in (
            ("inputs", backend.inputs, self._floor.backend.inputs),
            ("outputs", backend.outputs, self._floor.backend.outputs),
        ):
            if _interface(ours) != _interface(wanted):
                raise BackendError(f"{backend.name} has other {kind} than the CPU; one manifest cannot describe both")

    def _check_numbers(self, candidate: Candidate, outputs: Outputs) -> None:
        if self._reference is None:
            logger.info("no CPU runs this model: the numbers of %s are not compared", candidate.requested)
            return
        quantized = agreement.is_quantized(self._reference, self._sample.inputs)
        agreement.check(
            candidate.requested, outputs, self._reference, quantized=quantized, unordered=self._sample.unordered
        )


def _interface(infos: tuple[TensorInfo, ...]) -> list[tuple[str, str, int]]:
    return sorted((info.name, info.dtype, len(info.shape)) for info in infos)
