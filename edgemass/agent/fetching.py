"""Ordered models into the store: verified and fetched in a child process, then added."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from edgemass.config import Config
from edgemass.errors import ConfigError
from edgemass.messages import Desired
from edgemass.store import ModelStore


class Fetcher:
    def __init__(self, config: Config, store: ModelStore, state: Path) -> None:
        self._config, self._store, self._state = config, store, state

    def fetch(self, envelope: bytes, slot: str, progress: Callable[[int, int], None], stop: threading.Event) -> Desired:
        raise ConfigError("no registry")
