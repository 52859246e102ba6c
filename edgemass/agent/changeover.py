"""From a model in the store to one that is confirmed: proven, swapped in, watched, and sent back if it is worse.

The store is told of every step before it is taken, so that whatever the model does to this process is counted against
it at the next start.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgemass.agent.fitting import check_fits, wanted_labels
from edgemass.agent.judging import ProvingLimits, Verdict
from edgemass.agent.observing import Observer, Probation
from edgemass.agent.probation import Failed, Passed, ProbationLimits
from edgemass.agent.proving import How, prove
from edgemass.agent.reports import Reports
from edgemass.agent.slot import ModelSlot, board_defaults, load
from edgemass.agent.tuner import Tuner
from edgemass.bundles import Bundle
from edgemass.clock import Clock, boot_id
from edgemass.config import Config, UpdatesConfig
from edgemass.errors import EdgemassError, StoreError
from edgemass.messages import Desired, Phase
from edgemass.pipeline.line import LoadedModel
from edgemass.store import ModelStore
from edgemass.store.state import Origin

logger = logging.getLogger(__name__)

_LOOK_S = 0.25
_TUNER_S = 180.0  # of a measurement to end: its child is killed, a model that is being loaded is not


class Refused(Exception):  # noqa: N818 (no error of the program: an answer)
    """An order is not followed. quarantine: its model is to blame, and is not tried again."""

    def __init__(self, reason: str, *, quarantine: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.quarantine = reason, quarantine


@dataclass(frozen=True)
class _Step:
    """What reports name: the order that is followed."""

    digest: str
    sequence: int
    origin: Origin


class Changeover:
    """Changes the model of one slot. Used by one thread.

    back_to: gives what is run when a trial fails: the last confirmed model, or the one that the board came with.
    failure: why the process has to start anew, "" while it need not. stop: ends whatever it waits for.
    superseded: whether an order newer than that of (sequence, origin) waits.
    """

    def __init__(
        self,
        config: Config,
        slot: ModelSlot,
        store: ModelStore,
        reports: Reports,
        tuner: Tuner,
        observer: Observer,
        *,
        back_to: Callable[[], Bundle],
        clock: Clock,
    ) -> None:
        self.failure = ""
        self.stop = threading.Event()
        self._config = config
        settings = config.updates or UpdatesConfig()
        quick_ms = _fast_enough_ms(config)
        self._proving = ProvingLimits(latency_ratio=settings.max_slowdown, fast_enough_ms=quick_ms)
        self._probation = ProbationLimits(
            duration_s=settings.probation_s, latency_ratio=settings.max_slowdown, fast_enough_ms=quick_ms
        )
        self._keep = settings.keep
        self._slot = slot
        self._store = store
        self._reports = reports
        self._tuner = tuner
        self._observer = observer
        self._back_to = back_to
        self._beside = True
        self._owed: Callable[[], None] | None = None  # what the store could not be told yet
        self.superseded: Callable[[int, Origin], bool] = lambda _sequence, _origin: False
        self._clock = clock

    def prepare(self) -> None:
        """Before the cameras start: of a model on trial, what they say of it counts from the first frame."""
        trial = self._store.slot(self._slot.name).trial
        if trial is not None and trial.digest == self._slot.running.ref.digest:
            self._observer.probation(None, self._probation)

    def settle(self) -> None:
        """Tell the store what it could not be told before; say what runs, once; watch a trial to its end that is open,
        from an earlier process or because a newer order interrupted it.
        """
        if self._owed is not None:
            self._tell_store(self._owed)
        trial = self._store.slot(self._slot.name).trial
        if trial is None or trial.digest != self._slot.running.ref.digest or self._owed is not None:
            if self._reports.last is None:
                self._reports.say("idle")
            return
        step = _Step(trial.digest, trial.sequence, trial.origin)
        with self._without_tuner():
            self._watch(step, self._observer.probation(None, self._probation))

    def run(self, bundle: Bundle, desired: Desired, origin: Origin) -> None:
        """Take a model of the store into use.

        Raises:
            Refused: it is not taken; what ran goes on.
            StoreError: the store cannot be told; what ran goes on.
        """
        step = _Step(desired.digest, desired.sequence, origin)
        if step.digest == self._slot.running.ref.digest:
            self._already_runs(step)
            return
        with self._without_tuner():
            self._try(bundle, step)

    def _already_runs(self, step: _Step) -> None:
        """Nothing to exchange; what the board came with is confirmed by that, what is on trial is not."""
        name, state = self._slot.name, self._store.slot(self._slot.name)
        if state.trial is not None or step.digest in [kept.digest for kept in state.confirmed[:1]]:
            self._store.ordered_again(name, step.digest, step.origin, step.sequence)
        else:
            self._store.begin_trial(name, step.digest, sequence=step.sequence, origin=step.origin, boot_id=boot_id())
            self._store.confirm(name)
        if state.trial is None:
            self._say("confirmed", step)

    @contextlib.contextmanager
    def _without_tuner(self) -> Iterator[None]:
        """Nobody else exchanges the model meanwhile.

        Raises:
            Refused: a measurement does not end.
        """
        ends_ns = self._clock.monotonic_ns() + round(_TUNER_S * 1e9)
        while not self._tuner.close():
            if self.stop.is_set() or self._clock.monotonic_ns() > ends_ns:
                raise Refused("a measurement in the background does not end")
        while not self._slot.changing.acquire(timeout=_LOOK_S):
            if self.stop.is_set() or self._clock.monotonic_ns() > ends_ns:
                raise Refused("another exchange of the model does not end")
        try:
            yield
        finally:
            self._slot.changing.release()
            if not self.stop.is_set():
                self._tuner.start()

    def _try(self, bundle: Bundle, step: _Step) -> None:
        try:
            check_fits(self._config, bundle.manifest)
        except EdgemassError as error:
            raise Refused(str(error)) from error
        verdict = self._prove(bundle, step, beside=True)
        if not verdict.ok and (verdict.fits_beside or verdict.quarantine):
            raise Refused(verdict.reason, quarantine=verdict.quarantine)
        # A lighter variant that runs since the board is hot is nothing to hold a whole model to.
        baseline = None if self._slot.lightened else self._observer.baseline(self._probation)
        self._say("swapping", step)
        self._beside = verdict.ok and verdict.fits_beside
        probation = None
        if self._beside:
            new = self._load(bundle, step)
            probation = self._observer.probation(baseline, self._probation)  # one camera may have it before another
            if not self._slot.exchange(bundle, new, self.stop):
                self._give_up_exchange(step)
                return
        else:
            self._stop_and_start(bundle, step, proven=verdict.ok)
        ref = self._slot.running.ref
        logger.info("model swapped", extra={"model": ref.name, "digest": ref.digest, "variant": ref.variant})
        self._watch(step, probation or self._observer.probation(baseline, self._probation))

    def _give_up_exchange(self, step: _Step) -> None:
        """A frame hangs in the old model, which is not the new one's fault; or the process is about to end."""
        self._observer.over()
        if self.stop.is_set():
            return
        reason = "a frame hangs in the model before, which cannot be exchanged"
        self._tell_store(lambda: self._store.roll_back(self._slot.name, reason, blame=False))
        self.failure = reason
        self._say("rolled_back", step, reason=reason)

    def _prove(self, bundle: Bundle, step: _Step, *, beside: bool) -> Verdict:
        self._say("proving", step)
        config = self._config
        return prove(
            bundle,
            self._slot.bundle,
            how=How(
                backend=config.backend,
                threads=config.threads,
                strict=config.strict,
                variant=config.variant,
                defaults=board_defaults(config),
            ),
            frames=self._observer.pictures(self.stop) if beside else (),
            limits=self._proving,
            wanted_labels=wanted_labels(config),
            cancelled=self.stop,
            beside=beside,
        )

    def _load(self, bundle: Bundle, step: _Step) -> LoadedModel:
        """Load and warm it; should it take this process down, the next start knows who did it.

        Raises:
            Refused: it does not load.
        """
        name = self._slot.name
        self._store.begin_trial(name, step.digest, sequence=step.sequence, origin=step.origin, boot_id=boot_id())
        try:
            return load(bundle, self._config, self._clock, warm=True)
        except EdgemassError as error:
            self._store.roll_back(name, str(error))
            raise Refused(str(error)) from error

    def _stop_and_start(self, bundle: Bundle, step: _Step, *, proven: bool) -> None:
        """Where there is no room for both: free the old model, then prove and load the new one; or the old one again.

        Raises:
            Refused: the old one runs again.
        """
        old = self._slot.bundle

        def load_new() -> LoadedModel:
            if not proven:
                verdict = self._prove(bundle, step, beside=False)
                if not verdict.ok:
                    raise Refused(verdict.reason, quarantine=verdict.quarantine)
            return self._load(bundle, step)

        logger.info("the old model is stopped first: there is no room for both", extra={"digest": step.digest})
        try:
            self._slot.replace(bundle, load_new, lambda: load(old, self._config, self._clock))
        except EdgemassError as error:
            raise Refused(str(error)) from error

    def _watch(self, step: _Step, probation: Probation) -> None:
        """Let it run for its probation, then confirm it or go back; a newer order may interrupt that."""
        self._say("probation", step, progress=0.0)
        told = False
        try:
            while not self._clock.wait(self.stop, _LOOK_S):
                standing = probation.look()
                if self._slot.running.ref.digest != step.digest:
                    standing = Failed("another model was exchanged for it")
                if isinstance(standing, Failed):
                    self._go_back(step, standing.reason)
                    return
                if isinstance(standing, Passed):
                    if self._confirm(step, tell=not told):
                        return
                    told = True
                elif self.superseded(step.sequence, step.origin):
                    logger.info("the probation is left: a newer order waits", extra={"digest": step.digest})
                    return
                else:
                    self._say("probation", step, progress=standing.progress)
        finally:
            self._observer.over()

    def _confirm(self, step: _Step, *, tell: bool) -> bool:
        """Whether it could be written down."""
        try:
            self._store.confirm(self._slot.name)
        except StoreError as error:
            if tell:
                logger.error("the model does well and cannot be confirmed: %s", error)  # noqa: TRY400
            return False
        logger.info("model confirmed", extra={"digest": step.digest})
        self._say("confirmed", step)
        try:
            self._store.prune(keep=self._keep)
        except StoreError as error:
            logger.info("old models stay for now: %s", error)
        return True

    def _tell_store(self, write: Callable[[], None]) -> None:
        """Write something down, now or as soon as the disk takes it: what the cameras need does not wait for that."""
        try:
            write()
            self._owed = None
        except StoreError as error:
            if self._owed is None:
                logger.error("the store cannot be told, which is tried again: %s", error)  # noqa: TRY400
            self._owed = write

    def _go_back(self, step: _Step, reason: str) -> None:
        """To the last confirmed model; that is written down first."""
        logger.error("going back to the model before: %s", reason, extra={"digest": step.digest})
        self._tell_store(lambda: self._store.roll_back(self._slot.name, reason))
        try:
            bundle = self._back_to()

            def load_old() -> LoadedModel:
                return load(bundle, self._config, self._clock, warm=True)

            if not self._beside:
                self._slot.replace(bundle, load_old, load_old)
            elif not self._slot.exchange(bundle, load_old(), self.stop):
                self.failure = f"a frame hangs in the new model ({reason})"
        except EdgemassError as error:
            self.failure = f"the model before does not load ({error})"
        self._say("rolled_back", step, reason=reason)

    def _say(self, phase: Phase, step: _Step, *, progress: float | None = None, reason: str = "") -> None:
        self._reports.say(
            phase, sequence=step.sequence, origin=step.origin, progress=progress, wanted=step.digest, reason=reason
        )


def _fast_enough_ms(config: Config) -> float | None:
    """Of a frame, where every camera says how many it wants."""
    wanted = [camera.max_fps for camera in config.cameras.values()]
    if not wanted or any(fps is None for fps in wanted):
        return None
    return 1000 / sum(fps for fps in wanted if fps is not None)
