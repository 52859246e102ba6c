"""Holds the cameras back while the board is hot or lacks power: fewer frames, then a lighter variant of the model.

`governing` says how far, `pacing` what that is for a camera, `lighter` which variant; here it is done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from edgemass.agent.governing import STEPS, STEPS_LIGHTER, Governing, Limits
from edgemass.agent.lighter import FASTER, lighter_variant, speed_ratio
from edgemass.agent.pacing import Pace
from edgemass.agent.slot import ModelSlot, load
from edgemass.clock import Clock, rfc3339
from edgemass.config import Config, state_folder
from edgemass.device_profile import recognise
from edgemass.errors import BackendError, EdgemassError
from edgemass.health import COLLECTORS, Place
from edgemass.health.collecting import Collectors
from edgemass.health.tree import Tree
from edgemass.messages.health import GovernorHealth, System
from edgemass.pipeline.camera import Camera

logger = logging.getLogger(__name__)

LOOK_S = 2.0
SENSES = ("temperature", "throttling", "memory")
AGAIN_S = 300.0
"""A variant that did not load, or has no room, is tried again after so long."""
ROOM_BYTES, ROOM_TIMES = 64 * 1024 * 1024, 4
"""That has to be free to load a variant beside what runs, and of its size: what a runtime takes while it loads."""
STOP_S = 5.0


def limits(config: Config) -> Limits:
    """The configuration's, else those of the board's profile.

    Raises:
        ConfigError: there is no profile of the name that the configuration asks for.
    """
    thermal, asked = recognise(Path(config.root), config.profile).profile.thermal, config.governor
    hard_c = thermal.hard_c if asked.hard_c is None else asked.hard_c
    soft_c = thermal.soft_c if asked.soft_c is None else asked.soft_c
    if asked.hard_c is None:
        hard_c = max(hard_c, soft_c + 1)
    elif asked.soft_c is None:
        soft_c = min(soft_c, hard_c - 1)
    return Limits(soft_c, hard_c, thermal.zones)


class Governor:
    """For one slot; looks at the sensors in a thread of its own, from `start` to `close`.

    cameras: those at work. collect: reads the sensors: temperature, throttling and memory.
    """

    def __init__(
        self,
        slot: ModelSlot,
        config: Config,
        *,
        cameras: Callable[[], Sequence[Camera]],
        collect: Callable[[], System],
        clock: Clock,
    ) -> None:
        self._slot = slot
        self._config = config
        self._cameras = cameras
        self._collect = collect
        self._clock = clock
        self._rules = Governing(limits(config))
        self._since = rfc3339(clock.time_ns())
        self._paces: dict[str, Pace] = {}
        self._no_lighter: set[tuple[str, str]] = set()  # (digest, variant) that are no faster here
        self._not_before_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="governor", daemon=True)

    @classmethod
    def of_board(
        cls, slot: ModelSlot, config: Config, *, cameras: Callable[[], Sequence[Camera]], clock: Clock
    ) -> Governor:
        """One that goes by the sensors of this board."""
        place = Place(clock=clock, state=state_folder(config.state), tree=Tree(root=Path(config.root)))
        collectors = Collectors(place, {name: COLLECTORS[name] for name in SENSES})
        return cls(slot, config, cameras=cameras, collect=collectors.collect, clock=clock)

    def start(self) -> None:
        """Look from now on, where the configuration lets it."""
        if self._config.governor.enabled:
            self._thread.start()

    def close(self) -> bool:
        """Hold nothing back any more; whether the thread has ended."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        return not self._thread.is_alive()

    def health(self) -> GovernorHealth | None:
        """What it does now; None where it is switched off. For any thread."""
        if not self._config.governor.enabled:
            return None
        rules = self._rules
        return GovernorHealth(
            level=rules.level,
            fps_ratio=rules.step.fps_ratio,
            reason=rules.reason,
            since=self._since,
            lighter_variant=self._slot.lightened,
        )

    def look(self) -> None:
        """Read the sensors once, and do what follows from it."""
        now_s = self._clock.monotonic_ns() / 1e9
        self._rules.use(STEPS_LIGHTER if self._slot.lightened or self._lighter() else STEPS)
        system, before = self._collect(), self._rules.level
        if self._rules.look(system.temperature, system.throttling, now_s):
            self._tell(before)
        self._slot.fps_ratio = self._rules.step.fps_ratio
        self._pace(now_s)
        if self._rules.step.lighter != self._slot.lightened and now_s >= self._not_before_s:
            self._exchange(now_s, free_bytes=system.memory.available_bytes if system.memory is not None else None)

    def _run(self) -> None:
        failing = False
        while not self._clock.wait(self._stop, LOOK_S):
            try:
                self.look()
                failing = False
            except Exception:  # the thread's outermost line; the next look may be better
                if not failing:
                    logger.exception("the governor cannot look after the board")
                failing = True
        for camera in self._cameras():
            camera.hold(None)

    def _tell(self, before: int) -> None:
        """At the start and the end for whoever looks after the board; in between in detail."""
        self._since = rfc3339(self._clock.time_ns())
        rules = self._rules
        extra = {"level": rules.level, "fps_ratio": rules.step.fps_ratio}
        if before == 0:
            logger.warning("held back: %s", rules.reason, extra=extra)
        elif rules.level == 0:
            logger.info("no longer held back", extra=extra)
        else:
            logger.info("held back %s: %s", "more" if rules.level > before else "less", rules.reason, extra=extra)

    def _pace(self, now_s: float) -> None:
        """Hold every camera that runs by the clock to its share; a file is not run to the end any cooler by that."""
        cameras = {camera.line.camera: camera for camera in self._cameras() if camera.capture.realtime}
        for name in self._paces.keys() - cameras.keys():
            del self._paces[name]
        ratio = self._rules.step.fps_ratio
        for name, camera in cameras.items():
            pace = self._paces.setdefault(name, Pace())
            pace.see(camera.line.processed, now_s, held=ratio < 1.0)
            camera.hold(pace.limit(ratio, camera.max_fps))

    def _lighter(self) -> str | None:
        """A lighter variant that is not known to be no faster."""
        if not self._config.governor.lighter_variant:
            return None
        running, bundle = self._slot.running, self._slot.bundle
        name = lighter_variant(
            bundle, self._config, running=running.ref.variant, backend=running.detector.backend.requested
        )
        return None if name is None or (running.ref.digest, name) in self._no_lighter else name

    def _exchange(self, now_s: float, *, free_bytes: int | None) -> None:
        """To the lighter variant, or back to what else runs; not while somebody else exchanges the model."""
        if not self._slot.changing.acquire(blocking=False):
            return
        try:
            if self._slot.lightened:
                self._run_whole()
            elif name := self._lighter():
                self._check_room(name, free_bytes)
                self._run_lighter(name)
        except EdgemassError as error:
            self._not_before_s = now_s + AGAIN_S
            logger.warning("the variant is not exchanged: %s", error)
        finally:
            self._slot.changing.release()

    def _check_room(self, name: str, free_bytes: int | None) -> None:
        """A board whose memory runs out is worse off than a hot one.

        Raises:
            BackendError: a second model would not fit beside the one that runs.
        """
        wanted = ROOM_BYTES + ROOM_TIMES * self._slot.bundle.variant(name).size_bytes
        if free_bytes is not None and free_bytes < wanted:
            raise BackendError(f"{name} wants {wanted >> 20} MiB of memory to be loaded, {free_bytes >> 20} are free")

    def _run_lighter(self, name: str) -> None:
        slot, running = self._slot, self._slot.running
        new = load(slot.bundle, self._config, self._clock, warm=True, variant=name)
        try:
            ratio = speed_ratio(new.detector, running.detector, slot.bundle.manifest.score)
        except EdgemassError:
            new.detector.backend.close()
            raise
        if self._stop.is_set():
            new.detector.backend.close()
            return
        if ratio > FASTER:
            new.detector.backend.close()
            self._no_lighter = {*tuple(self._no_lighter)[-31:], (running.ref.digest, name)}
            logger.info("%s takes %.2f of the time of %s here: it stays out", name, ratio, running.ref.variant)
            return
        logger.info("running the lighter %s instead of %s", name, running.ref.variant, extra={"time": round(ratio, 2)})
        slot.exchange(slot.bundle, new, self._stop, lightened=True)

    def _run_whole(self) -> None:
        slot = self._slot
        new = load(slot.bundle, self._config, self._clock, warm=True)
        if self._stop.is_set():
            new.detector.backend.close()
            return
        logger.info("running %s again instead of the lighter one", new.ref.variant)
        slot.exchange(slot.bundle, new, self._stop)
