"""Models that are sent to this board: the store, and who follows the orders; wired for one slot."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edgemass import config as configs
from edgemass.agent import orders
from edgemass.agent.changeover import Changeover
from edgemass.agent.fetching import Fetcher
from edgemass.agent.observing import Observer
from edgemass.agent.reports import FOLDER, Reports
from edgemass.agent.slot import ModelSlot
from edgemass.agent.starting import last_good
from edgemass.agent.tuner import Tuner
from edgemass.agent.updating import Updater
from edgemass.clock import Clock
from edgemass.config import Config, UpdatesConfig
from edgemass.counters import Counters
from edgemass.errors import BackendError, StoreBusyError, StoreError
from edgemass.sinks import Channel
from edgemass.store import ModelStore

logger = logging.getLogger(__name__)

STORE = "store"


class Managed:
    """The store of this board, and from `start` on the thread that follows orders.

    clean: set when the run has ended without a fault of the model; else the end counts against one on trial.
    """

    def __init__(self, config: Config, state: Path, store: ModelStore, clock: Clock) -> None:
        self.store = store
        self.clean = False
        self.slot_name = (config.updates or UpdatesConfig()).slot
        self._config = config
        self._state = state
        self._clock = clock
        self._slot: ModelSlot | None = None
        self._updater: Updater | None = None
        self._observer: Observer | None = None

    @classmethod
    def open(cls, config: Config, clock: Clock) -> Managed | None:
        """None where this run is not to be managed: nobody asked for it, and nobody ever put a model into the store.

        Raises:
            StoreError: the store that was asked for cannot be used.
        """
        state = configs.state_folder(config.state)
        asked = config.updates is not None or config.state is not None
        if not asked and (config.model is not None or not (state / STORE).is_dir()):
            return None
        try:
            store = ModelStore(state / STORE)
        except StoreError as error:
            logger.error("going on without the store of models: %s", error)  # noqa: TRY400
            return None
        try:
            store.hold()
        except StoreBusyError as error:
            if asked:
                raise
            logger.warning("going on without the store of models: %s", error)
            return None
        except StoreError as error:
            logger.error("models can be run and not exchanged: %s", error)  # noqa: TRY400
        return cls(config, state, store, clock)

    @property
    def failure(self) -> str:
        """Why the process has to start anew, "" while it need not."""
        return self._updater.failure if self._updater is not None else ""

    def start(
        self, slot: ModelSlot, tuner: Tuner, counters: Callable[[], Sequence[Counters]], channels: Sequence[Channel]
    ) -> None:
        """Follow orders from now on. counters: of every camera that there was in this run."""
        self._slot = slot
        config, device = self._config, self._config.device or configs.device_id()
        self._observer = Observer(slot, counters, self._clock)
        reports = Reports(
            device,
            slot.name,
            loaded=lambda: slot.running.ref,
            channels=channels,
            folder=self._state / FOLDER,
            clock=self._clock,
        )
        changeover = Changeover(
            config,
            slot,
            self.store,
            reports,
            tuner,
            self._observer,
            back_to=partial(last_good, config, self.store, slot.name),
            clock=self._clock,
        )
        self._updater = Updater(
            slot,
            self.store,
            reports,
            changeover,
            Fetcher(config, self.store, self._state),
            device=device,
            state=self._state,
            clock=self._clock,
        )
        self._observer.start()
        changeover.prepare()
        self._updater.start()
        for channel in channels:
            channel.listen(f"slot/{slot.name}/desired", self._updater.receive)

    @property
    def has_registry(self) -> bool:
        return self._config.updates is not None and self._config.updates.registry is not None

    def take_newest(self, stop: threading.Event) -> str:
        """Fetch the newest release of the model that runs and order it, as `edgemass update apply` does; its digest.

        Raises:
            EdgemassError: there is none to be had, or it failed here before.
        """
        assert self._slot is not None
        fetcher = Fetcher(self._config, self.store, self._state)
        name = self._slot.bundle.manifest.name
        digest = fetcher.newest(name, self.slot_name, lambda *_: None, stop)
        if reason := self.store.slot(self.slot_name).refused.get(digest):
            raise StoreError(f"{digest[:19]} failed here before: {reason}")
        device = self._config.device or configs.device_id()
        orders.leave(
            self._state, self.store, device=device, slot=self.slot_name, name=name, digest=digest, clock=self._clock
        )
        return digest

    def blame(self, error: BackendError) -> bool:
        """A model fails frame after frame; True while it is on trial, where it will be taken back for that."""
        return self._observer is not None and self._observer.blame(error)

    def stop(self) -> None:
        """Follow no more orders; before the cameras end."""
        if self._updater is not None:
            self._updater.close()
        if self._observer is not None:
            self._observer.close()

    def close(self) -> None:
        """Let go of the store; after the model is closed, for what the model does in its end counts against it too."""
        try:
            if self.clean:
                self.store.end_cleanly(self.slot_name)
        except StoreError as error:
            logger.warning("the store is not told of a clean end: %s", error)
        self.store.close()
