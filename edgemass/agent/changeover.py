"""From a model in the store to one that is confirmed: proven, swapped in, watched, and sent back if it is worse.

The store is told of every step before it is taken, so that whatever the model does to this process is counted against
it at the next start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from edgemass.agent.fitting import check_fits, wanted_labels
from edgemass.agent.judging import ProvingLimits, Verdict
from edgemass.agent.observing import Observer
from edgemass.agent.probation import Baseline, Failed, Passed, ProbationLimits
from edgemass.agent.proving import How, prove
from edgemass.agent.reports import Reports
from edgemass.agent.slot import ModelSlot, load
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
        self._clock = clock

    def settle(self) -> None:
        """Say what runs, and watch a trial to its end that began in an earlier process."""
        trial = self._store.slot(self._slot.name).trial
        if trial is None or trial.digest != self._slot.running.ref.digest:
            self._reports.say("idle")
            return
        self._watch(_Step(trial.digest, trial.sequence, trial.origin), None)

    def run(self, bundle: Bundle, desired: Desired, origin: Origin) -> None:
        """Take a model of the store into use.

        Raises:
            Refused: it is not taken; what ran goes on.
        """
        step = _Step(desired.digest, desired.sequence, origin)
        if step.digest == self._slot.running.ref.digest:
            self._store.note_sequence(self._slot.name, origin, step.sequence)
            self._say("confirmed", step)
            return
        self._tuner.close()
        try:
            self._try(bundle, step)
        finally:
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
        baseline = self._observer.baseline(self._probation)
        self._say("swapping", step)
        self._beside = verdict.ok and verdict.fits_beside
        if self._beside:
            new = self._load(bundle, step)
            self._slot.exchange(bundle, new, self.stop)
        else:
            self._stop_and_start(bundle, step, proven=verdict.ok)
        ref = self._slot.running.ref
        logger.info("model swapped", extra={"model": ref.name, "digest": ref.digest, "variant": ref.variant})
        self._watch(step, baseline)

    def _prove(self, bundle: Bundle, step: _Step, *, beside: bool) -> Verdict:
        self._say("proving", step)
        config = self._config
        return prove(
            bundle,
            self._slot.bundle,
            how=How(backend=config.backend, threads=config.threads, strict=config.strict, variant=config.variant),
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

    def _watch(self, step: _Step, baseline: Baseline | None) -> None:
        """Let it run for its probation, then confirm it or go back."""
        probation = self._observer.probation(baseline, self._probation)
        self._say("probation", step, progress=0.0)
        try:
            while not self._clock.wait(self.stop, _LOOK_S):
                standing = probation.look()
                if isinstance(standing, Failed):
                    self._go_back(step, standing.reason)
                    return
                if isinstance(standing, Passed):
                    self._confirm(step)
                    return
                self._say("probation", step, progress=standing.progress)
        finally:
            self._observer.over()

    def _confirm(self, step: _Step) -> None:
        self._store.confirm(self._slot.name)
        logger.info("model confirmed", extra={"digest": step.digest})
        try:
            self._store.prune(keep=self._keep)
        except StoreError as error:  # it is confirmed all the same
            logger.warning("models that nothing needs are not removed: %s", error)
        self._say("confirmed", step)

    def _go_back(self, step: _Step, reason: str) -> None:
        """To the last confirmed model; that is written down first."""
        logger.error("going back to the model before: %s", reason, extra={"digest": step.digest})
        try:
            self._store.roll_back(self._slot.name, reason)
        except StoreError as error:  # a full disk keeps no bad model running; the next start goes back by itself
            logger.error("the store is not told: %s", error)  # noqa: TRY400
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
