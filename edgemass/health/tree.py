"""Small files of /proc, /sys and /run under a root, which is that of a recorded board in tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgemass.device_profile import Board

MAX_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 14
"""So much memory is asked for: a megabyte at a time for files of some bytes leaves holes in it, as does the table of
interned texts, which is built anew when enough of them have come and gone (tests/integration/test_soak.py)."""
MOST = 1 << 53
"""No number that a board tells is larger, and every reader of JSON keeps those below."""
_SHOWN = 40


@dataclass(frozen=True, eq=False, kw_only=True)
class Tree:
    """Paths are relative to the root, without a leading slash."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        """A file without the white space and NUL at its end, its first MiB at most; None where there is none.

        Raises:
            OSError: it is there and cannot be read.
        """
        try:
            data = b""
            name = os.path.join(self.root, path)  # noqa: PTH118 (a Path interns every part, each time)
            with open(name, "rb", buffering=0) as file:  # noqa: PTH123 (as above)
                while len(data) < MAX_BYTES and (more := file.read(_CHUNK_BYTES)):
                    data += more
        except (FileNotFoundError, NotADirectoryError):
            return None
        return data[:MAX_BYTES].rstrip(b"\0 \t\r\n").decode("utf-8", "replace")

    def integer(self, path: str, base: int = 10) -> int | None:
        """The integer in a file; None where there is no file.

        Raises:
            OSError: as `read`.
            ValueError: it holds something else.
        """
        text = self.read(path)
        if text is None:
            return None
        try:
            value = int(text[:_SHOWN], base)
        except ValueError:
            value = MOST + 1
        if abs(value) > MOST:
            raise ValueError(f"/{path} must hold an integer, found {text[:_SHOWN]!r}")
        return value

    def text(self, path: str) -> str | None:
        """As `read`; None too where it cannot be read."""
        try:
            return self.read(path)
        except OSError:
            return None

    def number(self, path: str, base: int = 10) -> int | None:
        """As `integer`; None too where it cannot be read."""
        try:
            return self.integer(path, base)
        except (OSError, ValueError):
            return None

    def exists(self, path: str) -> bool:
        try:
            return (self.root / path).exists()
        except OSError:
            return False

    def find(self, folder: str, pattern: str) -> list[str]:
        """Paths below a folder that match, in order of their names' numbers; none where there is no folder."""
        found = sorted((self.root / folder).glob(pattern), key=lambda path: (len(path.name), path.name))
        return [path.relative_to(self.root).as_posix() for path in found]

    @property
    def model(self) -> str:
        """The board's name of itself; "" where it has none."""
        return Board.read(self.root).model
