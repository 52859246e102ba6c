"""Ordered models into the store: verified and fetched in a child process, then added."""

from __future__ import annotations
from edgemass.errors import ConfigError


class Fetcher:
    def __init__(self, config, store, state) -> None:
        pass

    def follow(self, envelope, slot, progress, stop):
        raise ConfigError("no registry")
