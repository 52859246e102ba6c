"""What was measured to be the best way to run a bundle on this board; kept in the device's cache.

A pick belongs to one bundle, one set of versions and one board: after a change of any of them it is not found, and what
ran before it was measured runs again. `edgemass.tuning` makes picks; docs/tuning.md tells how.
"""

from __future__ import annotations

import logging
import os
import platform
import re
from importlib import metadata
from pathlib import Path

import msgspec

from edgemass import __version__, cache, durable
from edgemass.bundles.folder import Bundle
from edgemass.manifest import Variant

logger = logging.getLogger(__name__)

KIND = "picks"
_SCHEMA = "edgemass.pick/1"
_RUNTIMES = (  # all packages that may bring a runtime
    *("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"),
    *("ai-edge-litert", "tflite-runtime"),
)
_CPU_NAME = re.compile(r"^(?:model name|CPU (?:implementer|part))\s*:\s*(?P<value>.+)$", re.MULTILINE)


class Pick(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The best of what was measured.

    backend: as `--backend` takes it. threads: of the runtime.
    p95_ms: of a frame: preparation, run, decoding, NMS. reference_p95_ms: of the reference variant in turn with it.
    f1: agreement of its answers with the reference's, None where there was nothing to compare; compared: over how many.
    reason: why it may be used, in words. measured: RFC 3339.
    """

    digest: str
    variant: str
    backend: str
    threads: int
    p95_ms: float
    reference_p95_ms: float
    f1: float | None
    compared: int
    reason: str
    measured: str
    schema: str = _SCHEMA

    @property
    def ratio(self) -> float:
        """Of its p95 over that of the reference variant."""
        return self.p95_ms / self.reference_p95_ms

    def __str__(self) -> str:
        """One line for people."""
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return (
            f"{self.variant} on {self.backend} with {threads}: p95 {self.p95_ms:.1f} ms, {self.ratio:.2f} of the "
            f"reference's; {self.reason}"
        )


def load(bundle: Bundle) -> Pick | None:
    """What was picked for this bundle on this board; None where nothing was, or it cannot be read or no longer fits."""
    try:
        path = _path(bundle)
        pick = msgspec.json.decode(path.read_bytes(), type=Pick)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # of bytes that are no text msgspec raises UnicodeDecodeError
        logger.debug("the pick for %s is ignored: %s", bundle.manifest.name, error)
        return None
    if pick.schema != _SCHEMA or pick.digest != bundle.digest or pick.threads < 1 or not pick.reference_p95_ms > 0:
        logger.debug("the pick for %s is ignored: it is for something else", bundle.manifest.name)
        return None
    return pick


def keep(bundle: Bundle, pick: Pick) -> None:
    """Use it from the next start on.

    Raises:
        OSError: the cache cannot be written.
    """
    durable.write_bytes(_path(bundle), msgspec.json.encode(pick))


def forget(bundle: Bundle) -> bool:
    """Go back to what runs without a measurement; whether there was a pick.

    Raises:
        OSError: the cache cannot be written.
    """
    try:
        _path(bundle).unlink()
    except FileNotFoundError:
        return False
    return True


def lossless(bundle: Bundle, variant: Variant) -> bool:
    """Whether a variant computes in the precision of the reference."""
    return variant.precision == bundle.manifest.reference.precision


def board(root: Path = Path("/")) -> tuple[str, ...]:
    """What speed depends on and what stays when a system starts anew: machine type, board, processor, cores."""
    return (
        platform.machine(),
        _text(root / "proc/device-tree/model"),
        " ".join(dict.fromkeys(match["value"].strip() for match in _CPU_NAME.finditer(_text(root / "proc/cpuinfo")))),
        str(os.cpu_count() or 1),
    )


def versions() -> tuple[str, ...]:
    """Of edgemass and of every runtime that is installed."""
    found = [f"edgemass {__version__}"]
    for package in _RUNTIMES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def _path(bundle: Bundle) -> Path:
    return cache.folder(KIND) / f"{cache.key(bundle.digest, versions(), board())}.json"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
