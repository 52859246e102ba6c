"""The words that a board answers to: what a release may be signed for."""

from __future__ import annotations

import platform
from pathlib import Path

_MOST_BYTES = 4096


def words_of_board(root: Path = Path("/")) -> tuple[str, ...]:
    """Machine type, and what the device tree calls the board, such as ("aarch64", "raspberrypi,5-model-b", ...)."""
    tree = root / "proc" / "device-tree"
    names = [platform.machine()]
    for leaf in ("compatible", "model"):
        try:
            with (tree / leaf).open("rb") as file:
                names += file.read(_MOST_BYTES).decode(errors="replace").split("\0")
        except OSError:
            continue
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
