"""Variants that this device makes itself: kept in its cache, never part of the bundle's digest."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import platform
import shutil
from dataclasses import replace
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
MOST_TRIES = 3
_RECORD = "outcome.json"
_LOCK = "lock"
_DEADLINE_S = 120.0  # a Raspberry Pi Zero; a PC takes 1 to 5 s


class _Record(msgspec.Struct, frozen=True):
    """What came of the rewriting. tries: so far; without a variant it is tried again until there were MOST_TRIES, since
    a busy machine is slow, runs out of memory, and measures badly.
    """

    variant: Variant | None
    done: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()
    ratio: float | None = None
    tries: int = 1

    @property
    def final(self) -> bool:
        return self.variant is not None or self.tries >= MOST_TRIES


def with_derived(bundle: Bundle) -> Bundle:
    """The bundle with the rewritten variant of its stock file, made at the first call and found again afterwards.

    Where it cannot be made, or gains nothing, the bundle as it is; the log tells why.
    """
    if bundle.derived or any(variant.made_from for variant in bundle.manifest.variants):
        return bundle
    if optimize.supports(bundle.manifest) or not bundle.has(bundle.manifest.reference):
        return bundle
    if importlib.util.find_spec("onnx") is None:
        logger.info(
            "the model is not optimized; to let it be, install the package onnx: pip install 'edgemass[import]'"
        )
        return bundle
    try:
        folder = _folder(bundle)
        folder.mkdir(exist_ok=True)
        record = _kept(folder)
        if record is None or not record.final:
            record = _make(bundle, folder, tries=record.tries if record else 0)
    except OSError as error:
        logger.warning("the model is not optimized: %s", error)
        return bundle
    if record is None or record.variant is None:
        logger.debug("the model is not optimized: %s", "; ".join(record.kept_out) if record else "another does it")
        return bundle
    return replace(bundle, derived=(record.variant,), derived_folder=folder)


def forget(bundle: Bundle) -> None:
    """The derived file turned out to be damaged: it is made anew at the next start."""
    if bundle.derived_folder is not None:
        with contextlib.suppress(OSError):
            (bundle.derived_folder / _RECORD).unlink(missing_ok=True)


def _folder(bundle: Bundle) -> Path:
    """Of exactly this model, rewritten by exactly this code.

    Raises:
        OSError: there is no place for it.
    """
    return cache.folder(KIND) / cache.key(bundle.digest, __version__, _code(), _runtime(), platform.machine())


def _kept(folder: Path) -> _Record | None:
    try:
        record = msgspec.json.decode((folder / _RECORD).read_bytes(), type=_Record)
        if record.variant is not None and (folder / record.variant.file).stat().st_size != record.variant.size_bytes:
            return None
    except (FileNotFoundError, ValueError):  # of bytes that are no text msgspec raises UnicodeDecodeError
        return None
    return record


def _make(bundle: Bundle, folder: Path, *, tries: int) -> _Record | None:
    """Rewrite, and keep what came of it; None where another process does it now.

    Raises:
        OSError: the folder cannot be written.
    """
    with durable.alone(folder / _LOCK) as alone:
        if not alone:
            return None
        for left_over in folder.glob(f"{optimize.WORK_PREFIX}*"):  # of a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        record = _rewritten(bundle, folder, tries + 1)
        durable.write_bytes(folder / _RECORD, msgspec.json.encode(record))
    cache.trim(folder.parent, MOST)
    return record


def _rewritten(bundle: Bundle, folder: Path, tries: int) -> _Record:
    name = bundle.manifest.name
    logger.info("optimizing %s for this board; this is done once", name)
    try:
        outcome = optimize.rewrite(bundle, folder, deadline_s=_DEADLINE_S)
    except BundleError as error:
        logger.warning("%s is not optimized, the file runs as it is: %s", name, error)
        return _Record(None, kept_out=(str(error),), tries=tries)
    if outcome.variant is not None:
        logger.info("optimized", extra={"model": name, "frame_time": f"{outcome.ratio:.2f} of the stock file's"})
    measured = outcome.ratio is not None  # else the answers differ, or nothing can be done: that stays so
    return _Record(outcome.variant, outcome.done, outcome.kept_out, outcome.ratio, tries if measured else MOST_TRIES)


def _code() -> str:
    package = Path(__file__).parents[1]
    return cache.fingerprint_of_code(package / "bundles" / "optimize", package / "families")


def _runtime() -> tuple[object, ...]:
    """Differs after an update of ONNX Runtime; asking for its version would read the metadata of all that is installed,
    and take 10 ms of every start.
    """
    spec = importlib.util.find_spec("onnxruntime")
    return cache.key_of_file(Path(spec.origin)) if spec is not None and spec.origin else ()
