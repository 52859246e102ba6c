"""Measures once, in the background, what would run the model best on this board, and exchanges it between two frames.

It starts when the cameras have run for a while, so that a short run never pays; its children are nice to everything
else, one at a time, and end with the daemon. The frames that it measures on go to a child through a file without a
name, which nothing outlives.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from edgemass import cache, durable
from edgemass.agent.tuning_frames import TuningFrames
from edgemass.bundles import Bundle, open_detector, picks
from edgemass.bundles.derived import with_derived
from edgemass.clock import Clock, rfc3339
from edgemass.config import Config
from edgemass.detector import Thresholds, made_up_picture
from edgemass.errors import EdgemassError
from edgemass.messages import ModelRef
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.tuning import measuring
from edgemass.tuning.candidates import candidates, default_threads, reference
from edgemass.tuning.choosing import WORTH, Choice, Limits, choose, gain, pick
from edgemass.tuning.row import Candidate, Row

logger = logging.getLogger(__name__)

AFTER_S = 60.0
SECONDS = 6.0  # a row; longer than at the command line, since cameras run beside it
LONGEST_S = 1800.0  # all rows together
NICE = 19
EXCHANGE_S = 60.0
STOP_S = 5.0
_POLL_S = 0.5
_WARM_UP_RUNS = 3


def refusal(config: Config, bundle: Bundle, running: ModelRef) -> str:
    """Why nothing is measured for this configuration and model; "" where something may be."""
    if not config.tune:
        return "the configuration forbids it"
    if config.backend or config.threads or config.variant or config.strict:
        return "what is to run was asked for"
    if bundle.manifest.input.in_parts:
        return "the model reads a frame in several runs"
    kept = picks.load(bundle)
    if kept is not None and kept.variant == running.variant:  # else it no longer loads
        return "it was measured before"
    return ""


class Tuner:
    """The model that runs, and the thread that looks for a better way to run it.

    after_s: of frames before anything is measured.
    """

    def __init__(self, bundle: Bundle, running: LoadedModel, *, clock: Clock, after_s: float = AFTER_S) -> None:
        self._bundle = bundle
        self._open = [running]  # the one that runs, last; before it what could not be closed yet
        self._clock = clock
        self._lines: Sequence[CameraLine] = ()
        self._frames = TuningFrames(clock, after_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tuner", daemon=True)

    @property
    def running(self) -> LoadedModel:
        return self._open[-1]

    def start(self, lines: Sequence[CameraLine]) -> None:
        """Watch these lines and measure in time."""
        self._lines = lines
        for line in lines:
            line.watch = self._frames.see
        self._thread.start()

    def close(self) -> None:
        """End the measurement and free every model; the cameras have ended before."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        for model in tuple(self._open):
            model.detector.backend.close()

    def _run(self) -> None:
        try:
            if self._wait_for_frames():
                self._tune()
        except (EdgemassError, OSError) as error:
            logger.warning("what runs best is not measured: %s", error)
        except Exception:  # the thread's outermost line
            logger.exception("what runs best is not measured")
        finally:
            for line in self._lines:
                line.watch = None
            self._frames.forget()

    def _wait_for_frames(self) -> bool:
        """True when the cameras have run for a while; False when it is over before."""
        while not self._frames.enough:
            if self._clock.wait(self._stop, _POLL_S):
                return False
        for line in self._lines:
            line.watch = None
        return True

    def _tune(self) -> None:
        bundle = with_derived(self._bundle)
        wanted = self._candidates(bundle)
        if len(wanted) < 2:
            logger.debug("nothing to choose from: %s is all that this board can run", *wanted)
            return
        with durable.alone(cache.folder(picks.KIND) / "measuring.lock") as alone:
            if not alone:
                logger.info("what runs best is not measured now: another measurement runs on this board")
                return
            logger.info("measuring in the background what runs best", extra={"candidates": len(wanted)})
            rows = measuring.measure(
                bundle,
                wanted,
                self._frames.take(),
                seconds=SECONDS,
                nice=NICE,
                longest_s=LONGEST_S,
                cancelled=self._stop,
            )
        if not self._stop.is_set():
            self._use(bundle, rows, choose(bundle, rows, Limits(), reference(bundle)))

    def _candidates(self, bundle: Bundle) -> list[Candidate]:
        """All that may be compared fairly now: numbers of threads other than the default only where so many cores were
        idle, since cameras that keep them busy would make few threads look good. On the CPU: an accelerator is for who
        asks for it, and loading one beside running cameras takes memory that they may need.
        """
        idle = self._frames.idle_cores()
        return [item for item in candidates(bundle) if item.threads == default_threads() or item.threads <= idle]

    def _use(self, bundle: Bundle, rows: Sequence[Row], choice: Choice) -> None:
        """Keep the best, and exchange what runs where that is worth it."""
        for row in rows:
            if row.failure:
                logger.info("cannot run %s: %s", row.candidate, row.failure)
        best = choice.best
        kept = pick(bundle, choice, rfc3339(self._clock.time_ns()))
        if best is None or kept is None:
            logger.info("going on as before: %s", choice.reason)
            return
        picks.keep(bundle, kept)
        now = self.running
        running = Candidate(now.ref.variant, bundle.variant(now.ref.variant).runtime, default_threads())
        saved = gain(rows, best, running)
        if saved < WORTH:
            logger.info("going on as before: nothing is worth an exchange", extra={"best": str(kept)})
            return
        self._exchange(bundle, f"a frame takes {saved:.0%} less; {choice.reason}")

    def _exchange(self, bundle: Bundle, reason: str) -> None:
        """Load and warm the better one beside the old, hand it to the cameras between two frames, free the old."""
        old, new = self.running, self._warmed(bundle)
        self._open.append(new)
        logger.info("model exchanged: %s", reason, extra={"from": old.ref.variant, "to": new.ref.variant})
        ends_ns = self._clock.monotonic_ns() + round(EXCHANGE_S * 1e9)
        left = list(self._lines)
        while left := [line for line in left if not line.exchange(new)]:
            if self._clock.wait(self._stop, _POLL_S) or self._clock.monotonic_ns() >= ends_ns:
                return  # a frame hangs in the old one, which is freed at the end
        self._open.remove(old)
        old.detector.backend.close()

    def _warmed(self, bundle: Bundle) -> LoadedModel:
        """What was picked, after its first runs."""
        detector, variant = open_detector(self._bundle, clock=self._clock)
        try:
            stream = detector.stream()
            for _ in range(_WARM_UP_RUNS):
                stream.detect(made_up_picture(), Thresholds(bundle.manifest.score))
        except EdgemassError:
            detector.backend.close()
            raise
        manifest = bundle.manifest
        return LoadedModel(detector, ModelRef(manifest.name, manifest.version, bundle.digest, variant.name))
