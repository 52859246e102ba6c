"""A TFLite file of a checkpoint, by LiteRT's own converter."""

from __future__ import annotations

import subprocess
import sys
from importlib import util
from pathlib import Path

from edgemass.errors import BundleError, ConfigError

DEADLINE_S = 900
_LAST_LINES = 3


def convert(checkpoint: Path, path: Path) -> None:
    """Write the file.

    Raises:
        ConfigError: the converter is not installed.
        BundleError: it cannot convert this net.
    """
    check_installed()
    run_child("edgemass_tools.exporting._tflite", [str(checkpoint), str(path)], "LiteRT's converter")
    if not path.is_file():
        raise BundleError("LiteRT's converter wrote no file")


def check_installed() -> None:
    """Raises ConfigError where the converter is not installed."""
    if util.find_spec("litert_torch") is None:
        raise ConfigError("TFLite files need LiteRT's converter: pip install 'edgemass-tools[train]'")


def run_child(module: str, arguments: list[str], what: str) -> None:
    """Run one of our modules in a process of its own.

    Raises:
        BundleError: it failed, or did not end in time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{what} did not end within {DEADLINE_S} s") from error
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:]) or f"exit status {done.returncode}"
        raise BundleError(f"{what} failed: {said[:500]}")
