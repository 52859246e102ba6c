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
from edgemass.agent.slot import ModelSlot, board_defaults, load
from edgemass.agent.tuning_frames import TuningFrames
from edgemass.bundles import Bundle, picks
from edgemass.bundles.derived import with_derived
from edgemass.bundles.loading import default_choices
from edgemass.clock import Clock, rfc3339
from edgemass.config import Config
from edgemass.errors import EdgemassError
from edgemass.messages import ModelRef
from edgemass.tuning import measuring
from edgemass.tuning.candidates import candidates, default_threads, reference
from edgemass.tuning.choosing import WORTH, Choice, Limits, choose, gain, pick
from edgemass.tuning.row import Candidate, Row

logger = logging.getLogger(__name__)

AFTER_S = 60.0
SECONDS = 6.0  # a row; longer than at the command line, since cameras run beside it
LONGEST_S = 1800.0  # all rows together
NICE = 19
STOP_S = 5.0
_POLL_S = 0.5


def refusal(config: Config, bundle: Bundle, running: ModelRef) -> str:
    """Why nothing is measured for this configuration and model; "" where something may be."""
    if not config.tune:
        return "the configuration forbids it"
    if config.backend or config.threads or config.variant or config.strict:
        return "what is to run was asked for"
    if default_choices(bundle, board_defaults(config))[0].accelerated:
        return "the board's accelerator is for this model"
    if not bundle.has(bundle.manifest.reference):
        return "the reference variant is not for this board"
    if bundle.manifest.input.in_parts:
        return "the model reads a frame in several runs"
    kept = picks.load(bundle)
    known = kept is not None and kept.variant == running.variant  # else it no longer loads
    return "it was measured before" if known else ""


class Tuner:
    """The thread that looks for a better way to run what is in a slot.

    after_s: of frames before anything is measured.
    """

    def __init__(self, slot: ModelSlot, config: Config, *, clock: Clock, after_s: float = AFTER_S) -> None:
        self._slot = slot
        self._config = config
        self._clock = clock
        self._after_s = after_s
        self._frames = TuningFrames(clock, after_s)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch the cameras of the slot and measure in time, where anything may be measured; again after `close`."""
        if reason := refusal(self._config, self._slot.bundle, self._slot.running.ref):
            logger.debug("what runs best is not measured: %s", reason)
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._frames, self._stop = TuningFrames(self._clock, self._after_s), threading.Event()
        if not self._slot.lines_to_picture:
            logger.debug("what runs best is not measured: no picture of these cameras may be kept")
            return
        for line in self._slot.lines_to_picture:
            line.watch(self._frames.see)
        self._thread = threading.Thread(target=self._run, name="tuner", daemon=True)
        self._thread.start()

    def close(self) -> bool:
        """End the measurement; whether the thread has ended."""
        self._stop.set()
        if self._thread is None:
            return True
        self._thread.join(STOP_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            if self._wait_for_frames():
                self._tune()
        except (EdgemassError, OSError) as error:
            logger.warning("what runs best is not measured: %s", error)
        except Exception:  # the thread's outermost line
            logger.exception("what runs best is not measured")
        finally:
            for line in self._slot.lines:
                line.unwatch(self._frames.see)
            self._frames.forget()

    def _wait_for_frames(self) -> bool:
        """True when the cameras have run for a while; False when it is over before."""
        while not self._frames.enough or self._slot.fps_ratio < 1.0:  # a board that is held back is not to be heated
            if self._clock.wait(self._stop, _POLL_S):
                return False
        for line in self._slot.lines:
            line.unwatch(self._frames.see)
        return True

    def _tune(self) -> None:
        bundle = with_derived(self._slot.bundle)
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
        usual = self._threads()
        return [
            item
            for item in candidates(bundle, threads=usual)
            if item.threads in (usual, default_threads()) or item.threads <= idle
        ]

    def _threads(self) -> int:
        """Of the runtime, where nobody asked and nothing was measured."""
        return board_defaults(self._config).threads or default_threads()

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
        now = self._slot.running
        running = Candidate(now.ref.variant, bundle.variant(now.ref.variant).runtime, self._threads())
        saved = gain(rows, best, running)
        if saved < WORTH:
            logger.info("going on as before: nothing is worth an exchange", extra={"best": str(kept)})
            return
        self._exchange(f"a frame takes {saved:.0%} less; {choice.reason}")

    def _exchange(self, reason: str) -> None:
        """Load and warm the better one beside the old, and hand it to the cameras."""
        slot = self._slot
        with slot.changing:
            if slot.lightened:  # the governor takes what was picked when the board is cool again
                return
            old, new = slot.running, load(slot.bundle, self._config, self._clock, warm=True)
            if self._stop.is_set():
                new.detector.backend.close()
                return
            logger.info("model exchanged: %s", reason, extra={"from": old.ref.variant, "to": new.ref.variant})
            slot.exchange(slot.bundle, new, self._stop)
