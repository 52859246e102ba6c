"""Ordered models into the store: verified and fetched in a child process, then added."""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from edgemass.backends.choice import parse
from edgemass.bundles.stored import load_stored
from edgemass.config import Config, UpdatesConfig, device_id
from edgemass.errors import BundleError, ConfigError, NoRoomError, StoreError
from edgemass.messages import Phase
from edgemass.registry.hardware import words_of_board
from edgemass.registry.obtaining import Obtained, Order, obtain
from edgemass.store import ModelStore

logger = logging.getLogger(__name__)

TRUST = "trust"
_PACKAGES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}

Progress = Callable[[Phase, int, int], None]
"""Called with ("verifying" | "fetching", bytes done, bytes in all)."""


class Fetcher:
    """Brings models from the configured registry into the store."""

    def __init__(self, config: Config, store: ModelStore, state: Path) -> None:
        self._config = config
        self._settings = config.updates or UpdatesConfig()
        self._store = store
        self._state = state

    def follow(self, envelope: bytes, slot: str, progress: Progress, cancelled: threading.Event) -> str:
        """Verify an order of the fleet and have its model in the store; returns its digest.

        Raises:
            TrustError: the order or the model must not be followed.
            ConfigError: no registry is configured.
            RegistryUnavailableError: later, perhaps. RegistryError, BundleError, StoreError: not at all.
        """
        return self._obtain(slot, progress, cancelled, envelope=base64.b64encode(envelope).decode())

    def newest(self, name: str, slot: str, progress: Progress, cancelled: threading.Event) -> str:
        """The newest release of a model for this board into the store; returns its digest. Raises as `follow`."""
        return self._obtain(slot, progress, cancelled, name=name)

    def _obtain(
        self, slot: str, progress: Progress, cancelled: threading.Event, *, envelope: str = "", name: str = ""
    ) -> str:
        order = self._order(slot, envelope, name)
        try:
            return self._add(obtain(order, progress=progress, cancelled=cancelled))
        except NoRoomError as error:
            gone: tuple[str, ...] = ()
            with contextlib.suppress(StoreError):  # not held by this process, or as full as it is
                gone = self._store.prune(self._settings.keep, free_bytes=1 << 62)
            if not gone:
                raise
            logger.warning("%s; removed %d models that nothing needs", error, len(gone))
            return self._add(obtain(order, progress=progress, cancelled=cancelled))

    def _add(self, obtained: Obtained) -> str:
        files = {digest: Path(path) for digest, path in obtained.files.items()}
        digest = self._store.add(obtained.manifest_bytes(), files)
        if digest != obtained.digest:
            raise BundleError(f"fetched {digest}, wanted {obtained.digest}")
        logger.info("model fetched", extra={"digest": digest, "wire_bytes": obtained.wire_bytes})
        return digest

    def _order(self, slot: str, envelope: str, name: str) -> Order:
        settings = self._settings
        if settings.registry is None or settings.trust is None:
            raise ConfigError("no registry to fetch from; set registry and trust in [updates] of the configuration")
        state = self._store.slot(slot)
        return Order(
            device=self._config.device or device_id(),
            slot=slot,
            sequence=state.sequences.get("fleet", 0),
            registry=settings.registry,
            metadata=settings.metadata or "",
            root=settings.trust,
            trust=str(self._state / TRUST),
            blobs=str(self._store.blob_folder),
            incoming=str(self._store.incoming),
            transport=msgspec.json.encode(transport_of(settings)).decode(),
            deadline_s=settings.deadline_s,
            envelope=envelope,
            name=name,
            hardware=(*words_of_board(), *settings.hardware),
            release=self._release(slot),
            files_for=runtimes(self._config),
            variant=self._config.variant or "",
        )

    def _release(self, slot: str) -> int:
        """Of the newest confirmed model; -1 where there is none."""
        for kept in self._store.slot(slot).confirmed:
            try:
                return load_stored(self._store, kept.digest).manifest.release
            except BundleError:
                continue
        return -1


def transport_of(settings: UpdatesConfig) -> dict[str, object]:
    """As registry.transport.Transport, which needs the extra `update`; the child has it."""
    return {
        "ca": settings.ca,
        "user": settings.user,
        "password_file": settings.password_file,
        "bandwidth_bytes_s": settings.bandwidth,
        "total_s": settings.deadline_s,
    }


def runtimes(config: Config) -> tuple[str, ...]:
    """Whose variants this board can use: those that are installed and that the configuration asks for."""
    asked = {choice.runtime for choice in parse(config.backend)} if config.backend else set(_PACKAGES)
    return tuple(
        runtime
        for runtime, packages in _PACKAGES.items()
        if runtime in asked and any(importlib.util.find_spec(package) for package in packages)
    )
