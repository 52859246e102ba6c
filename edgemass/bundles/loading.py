"""From a bundle to a detector that runs."""

from __future__ import annotations

import logging

from edgemass import backends
from edgemass.bundles.folder import Bundle
from edgemass.detector import Detector
from edgemass.errors import BackendError, BundleError, UsageError
from edgemass.manifest import Variant

logger = logging.getLogger(__name__)


def open_detector(
    bundle: Bundle, *, runtime: str | None = None, threads: int | None = None, strict: bool = False
) -> tuple[Detector, Variant]:
    """Load the first variant that the wanted runtime, or any installed one, can run.

    strict: refuse when something else runs than what was asked for.

    Raises:
        UsageError: no variant for the wanted runtime.
        BackendError: no variant could be loaded.
        BundleError: the file does not fit its manifest.
    """
    variants = [variant for variant in bundle.manifest.variants if runtime in (None, variant.runtime)]
    if not variants:
        offered = ", ".join(sorted({variant.runtime for variant in bundle.manifest.variants}))
        raise UsageError(f"{bundle.manifest.name} has no variant for backend {runtime!r}, it has {offered}")
    failure: BackendError | None = None
    for variant in variants:
        try:
            backend = backends.load(variant.runtime).open(bundle.path(variant), backends.Options(threads=threads))
        except BackendError as error:
            failure = failure or error
            if len(variants) > 1:
                logger.warning("cannot load a variant: %s", error, extra={"variant": variant.name})
            continue
        if strict and backend.name != backend.requested:
            backend.close()
            raise BackendError(
                f"{backend.requested} was asked for, {backend.name} would run; leave out --strict to accept it"
            )
        return Detector(bundle.manifest, backend), variant
    raise failure or BundleError(f"{bundle.manifest.name} has no variants")
