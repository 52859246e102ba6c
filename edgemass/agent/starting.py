"""What a slot runs at the start: a trial, the last confirmed model that loads, or what the board came with."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from edgemass import bundles
from edgemass.agent.fitting import check_fits
from edgemass.agent.slot import load
from edgemass.bundles import Bundle
from edgemass.bundles.stored import load_stored
from edgemass.clock import Clock, boot_id
from edgemass.config import Config
from edgemass.errors import BackendError, BundleError, ConfigError, StoreError, UsageError
from edgemass.pipeline.line import LoadedModel
from edgemass.store import ModelStore

logger = logging.getLogger(__name__)

DEFAULT_MODEL = "edgemass-person"


def factory(config: Config) -> Bundle:
    """The model that the configuration names, or that comes with edgemass.

    Raises:
        UsageError: there is none of that name.
        BundleError: it cannot be used.
    """
    return bundles.resolve(config.model or DEFAULT_MODEL)


def load_first(
    config: Config, store: ModelStore | None, slot: str, clock: Clock, *, avoid: str = ""
) -> tuple[Bundle, LoadedModel]:
    """Load the first of what there is that loads; the store is told of what does not.

    avoid: a digest that is left out.

    Raises:
        EdgemassError: nothing loads, not even the factory's model.
    """
    for digest in _stored(store, slot) if store is not None else ():
        assert store is not None
        if digest == avoid:
            continue
        try:
            bundle = load_stored(store, digest)
            check_fits(config, bundle.manifest)
            return bundle, load(bundle, config, clock)
        except BundleError as error:
            logger.error("a model of the store is damaged: %s", error, extra={"digest": digest})  # noqa: TRY400
            with contextlib.suppress(StoreError):  # a full disk is no reason to run nothing
                store.unusable(slot, digest, str(error))
        except (BackendError, UsageError, ConfigError, StoreError) as error:
            # The configuration, an accelerator that comes late, memory: nothing to hold against the model.
            logger.error("a model of the store does not load: %s", error, extra={"digest": digest})  # noqa: TRY400
    bundle = factory(config)
    check_fits(config, bundle.manifest)
    model = load(bundle, config, clock)
    for sentence in bundle.manifest.assumed:
        logger.info("assumed: %s", sentence)
    return bundle, model


def _stored(store: ModelStore, slot: str) -> Iterator[str]:
    """Digests to try, the best first. A trial only if its try could be counted: else what crashed would be loaded again
    and again.
    """
    tried = set()
    try:
        while True:
            start = store.start(slot, boot_id())
            if start.reason:
                logger.warning("%s", start.reason)
            if start.digest is None or start.digest in tried:
                break
            tried.add(start.digest)
            yield start.digest
    except StoreError as error:
        logger.error("the store cannot be written: %s", error)  # noqa: TRY400
    for kept in store.slot(slot).confirmed:
        if kept.since and kept.digest not in tried:
            yield kept.digest


def last_good(config: Config, store: ModelStore, slot: str) -> Bundle:
    """What to go back to: the newest confirmed model of the store, else the factory's.

    Raises:
        EdgemassError: there is none.
    """
    for kept in store.slot(slot).confirmed:
        try:
            return load_stored(store, kept.digest)
        except BundleError as error:
            with contextlib.suppress(StoreError):
                store.unusable(slot, kept.digest, str(error))
    return factory(config)
