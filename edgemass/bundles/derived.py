"""Variants that this device makes itself: kept in its cache, never part of the bundle's digest."""

from __future__ import annotations

import importlib.util
import logging
import platform
import shutil
from pathlib import Path

import msgspec

from edgemass import __version__, cache, durable
from edgemass.bundles import optimize
from edgemass.bundles.folder import Bundle
from edgemass.errors import BundleError
from edgemass.manifest import Variant

logger = logging.getLogger(__name__)

KIND = "optimized"
MOST = 20
_RECORD = "outcome.json"
_DEADLINE_S = 120.0  # a Raspberry Pi Zero; a PC takes 1 to 5 s


class _Record(msgspec.Struct, frozen=True):
    """What came of the rewriting; variant None: nothing was kept, and it is not tried again."""

    variant: Variant | None
    done: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()
    ratio: float | None = None


def with_derived(bundle: Bundle) -> Bundle:
    """The bundle with the rewritten variant of its stock file, made at the first call and found again afterwards.

    Where it cannot be made, or gains nothing, the bundle as it is; the log tells why.
    """
    if bundle.derived or any(variant.made_from for variant in bundle.manifest.variants):
        return bundle
    if optimize.supports(bundle.manifest) or importlib.util.find_spec("onnx") is None:
        return bundle
    try:
        folder = cache.folder(KIND) / cache.key(bundle.digest, __version__, _code(), _runtime(), platform.machine())
        folder.mkdir(exist_ok=True)
        record = _kept(folder) or _make(bundle, folder)
    except OSError as error:
        logger.warning("the model is not optimized: %s", error)
        return bundle
    if record.variant is None:
        logger.debug("the model is not optimized: %s", "; ".join(record.kept_out))
        return bundle
    return Bundle(bundle.manifest, bundle.folder, (record.variant,), folder)


def _kept(folder: Path) -> _Record | None:
    try:
        record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    if record.variant is not None and not (folder / record.variant.file).is_file():
        return None
    return record


def _make(bundle: Bundle, folder: Path) -> _Record:
    name = bundle.manifest.name
    for left_over in folder.glob(f"{optimize.WORK_PREFIX}*"):  # of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    logger.info("optimizing %s for this board; this is done once", name)
    try:
        outcome = optimize.rewrite(bundle, folder, deadline_s=_DEADLINE_S)
        record = _Record(outcome.variant, outcome.done, outcome.kept_out, outcome.ratio)
    except BundleError as error:  # tried again only after an update: it would fail alike, and cost as much
        logger.warning("%s is not optimized, the file runs as it is: %s", name, error)
        record = _Record(None, kept_out=(str(error),))
    durable.write_bytes(folder / _RECORD, msgspec.json.encode(record))
    cache.trim(folder.parent, MOST)
    if record.variant is not None:
        logger.info("optimized", extra={"model": name, "frame_time": f"{record.ratio:.2f} of the stock file's"})
    return record


def _code() -> str:
    package = Path(__file__).parents[1]
    return cache.fingerprint_of_code(package / "bundles" / "optimize", package / "families")


def _runtime() -> tuple[object, ...]:
    """Differs after an update of ONNX Runtime; asking for its version would read the metadata of all that is installed,
    and take 10 ms of every start.
    """
    spec = importlib.util.find_spec("onnxruntime")
    return cache.key_of_file(Path(spec.origin)) if spec is not None and spec.origin else ()
