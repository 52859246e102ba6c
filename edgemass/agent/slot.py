"""The model that runs in one slot, and its exchange under the cameras, between two frames."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from edgemass.agent.heap import trim
from edgemass.bundles import Bundle, open_detector
from edgemass.clock import Clock
from edgemass.config import Config
from edgemass.detector import Detector, Thresholds, made_up_picture
from edgemass.device_profile import Defaults, recognise
from edgemass.errors import BackendError, EdgemassError
from edgemass.manifest import Variant
from edgemass.messages import ModelRef
from edgemass.pipeline.line import CameraLine, LoadedModel, Watcher

logger = logging.getLogger(__name__)

EXCHANGE_S = 60.0
_POLL_S = 0.2
_WARM_UP_RUNS = 3


def board_defaults(config: Config) -> Defaults:
    """What the board's profile runs on where the configuration asks for nothing.

    Raises:
        ConfigError: there is no profile of the name that it asks for.
    """
    return recognise(Path(config.root), config.profile).defaults


def load(
    bundle: Bundle, config: Config, clock: Clock, *, warm: bool = False, variant: str | None = None
) -> LoadedModel:
    """Open a bundle as the configuration says.

    variant: this one instead of the configuration's. warm: run it on a made-up picture until its first, slow runs are
        over.

    Raises:
        EdgemassError: it cannot be loaded or run.
    """
    detector, running = open_detector(
        bundle,
        runtime=config.backend,
        threads=config.threads,
        strict=config.strict,
        clock=clock,
        variant=config.variant if variant is None else variant,
        defaults=board_defaults(config),
    )
    if warm:
        _warm_up(detector, bundle)
    logger.info(
        "model loaded",
        extra={
            "model": bundle.manifest.name,
            "variant": running.name,
            "backend": detector.backend.name,
            "requested": detector.backend.requested,
        },
    )
    return LoadedModel(detector, reference(bundle, running))


def reference(bundle: Bundle, variant: Variant) -> ModelRef:
    """What documents call it."""
    return ModelRef(bundle.manifest.name, bundle.manifest.version, bundle.digest, variant.name)


def _warm_up(detector: Detector, bundle: Bundle) -> None:
    if bundle.manifest.input.text is not None:
        return
    try:
        stream = detector.stream()
        for _ in range(_WARM_UP_RUNS):
            stream.detect(made_up_picture(), Thresholds(bundle.manifest.score))
    except EdgemassError:
        detector.backend.close()
        raise


class ModelSlot:
    """One slot of the board. `running` is for any thread.

    name: of the slot. bundle: what `running` was loaded from. lines: of the cameras that it serves now.
    changing: held by who is about to exchange the model, from before the new one is loaded: an update to the end of its
        trial, the tuner, the governor.
    lightened: a lighter variant runs than would else, since the board is hot. fps_ratio: of their frames, what the
        governor leaves the cameras.
    """

    def __init__(self, name: str, bundle: Bundle, running: LoadedModel, *, clock: Clock) -> None:
        self.name = name
        self.bundle = bundle
        self.lines: tuple[CameraLine, ...] = ()
        self.changing = threading.Lock()
        self.lightened = False
        self.fps_ratio = 1.0
        self._watchers: tuple[Watcher, ...] = ()
        self._open = [running]  # the one that runs, last; before it what could not be closed yet
        self._clock = clock
        self._held_ns: int | None = None
        self._one = threading.Lock()

    @property
    def running(self) -> LoadedModel:
        return self._open[-1]

    @property
    def held_s(self) -> float:
        """For how long frames have been kept waiting for another model; 0 while they run."""
        since_ns = self._held_ns
        return 0.0 if since_ns is None else max(1e-9, (self._clock.monotonic_ns() - since_ns) / 1e9)

    @property
    def lines_to_picture(self) -> list[CameraLine]:
        """Those whose pictures may be taken to measure and to prove models on: children get them through files."""
        return [line for line in self.lines if not line.private]

    def join(self, line: CameraLine) -> None:
        """Serve one more camera, whose frames do not come yet."""
        with self._one:
            line.exchange(self.running)
            self.lines = (*self.lines, line)
            for watcher in self._watchers:
                line.watch(watcher)

    def leave(self, line: CameraLine) -> None:
        """Serve a camera no more."""
        with self._one:
            self.lines = tuple(other for other in self.lines if other is not line)

    def watch(self, watcher: Watcher) -> None:
        """Show it what every camera's line shows, also of those that come later."""
        with self._one:
            self._watchers = (*self._watchers, watcher)
            for line in self.lines:
                line.watch(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        with self._one:
            self._watchers = tuple(other for other in self._watchers if other != watcher)
            for line in self.lines:
                line.unwatch(watcher)

    def exchange(self, bundle: Bundle, new: LoadedModel, stop: threading.Event, *, lightened: bool = False) -> bool:
        """Hand a warmed model to the cameras, each between two of its frames, and free the old one.

        lightened: it is a lighter one than would else run.

        Returns False where a frame hangs in the old one, or `stop` was set first; it is freed at the end then.
        """
        with self._one:
            old = self.running
            self._open.append(new)
            self.bundle, self.lightened = bundle, lightened
            ends_ns = self._clock.monotonic_ns() + round(EXCHANGE_S * 1e9)
            left = list(self.lines)
            while left := [line for line in left if not line.exchange(new)]:
                if self._clock.wait(stop, _POLL_S) or self._clock.monotonic_ns() >= ends_ns:
                    return False
            self._open.remove(old)
            old.detector.backend.close()
        trim()
        return True

    def replace(self, bundle: Bundle, load_new: Callable[[], LoadedModel], load_old: Callable[[], LoadedModel]) -> None:
        """Free the old model before the new one is loaded, where memory does not hold both; frames wait meanwhile.

        Raises:
            BackendError: a frame hangs in the old one, which goes on.
            Exception: of `load_new`; the old one runs again.
        """
        with self._one, contextlib.ExitStack() as stack:
            stack.callback(setattr, self, "_held_ns", None)
            self._held_ns = self._clock.monotonic_ns()
            for line in self.lines:
                if not stack.enter_context(line.held(EXCHANGE_S)):
                    raise BackendError(f"camera {line.camera}: a frame is in the model for more than {EXCHANGE_S:g} s")
            for model in self._open:
                model.detector.backend.close()
            try:
                new = load_new()
                self.bundle, self.lightened = bundle, False
            except Exception:
                self._take(load_old())
                raise
            self._take(new)

    def _take(self, model: LoadedModel) -> None:
        """For who holds every line."""
        self._open = [model]
        for line in self.lines:
            line.replace(model)

    def close(self) -> None:
        """Free every model; the cameras have ended before."""
        for model in tuple(self._open):
            model.detector.backend.close()
