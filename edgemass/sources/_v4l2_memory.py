"""Which camera a number meant, kept over restarts: after the next boot /dev/video0 may be another one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from edgemass import durable

logger = logging.getLogger(__name__)

FOLDER = "cameras"
MAX_BYTES = 4096


@dataclass(frozen=True)
class Unit:
    """One camera under /dev/v4l.

    name: best stable one, see `stable_name`. port: its by-path name, None where there is none.
    """

    name: Path
    port: Path | None = None


@dataclass(frozen=True)
class Memory:
    """One file of text: the unit's name, and its port in a second line. Who deletes it makes the number mean anew."""

    file: Path

    @classmethod
    def of(cls, state: Path, node: Path) -> Memory:
        """state: folder. node: /dev/videoN, as it was asked for."""
        return cls(state / FOLDER / node.name)

    def read(self) -> Unit | None:
        """None where there is nothing, or nothing that can be read (which is said)."""
        try:
            with self.file.open("rb") as file:
                lines = file.read(MAX_BYTES).decode().splitlines()
            name, *ports = (Path(line) for line in lines)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("which camera is meant is found anew: cannot read %s: %s", self.file, error)
            return None
        return Unit(name, *ports[:1])

    def write(self, unit: Unit) -> None:
        """A disk that does not take it is said: until the next start the unit is known all the same."""
        lines = [unit.name, *([unit.port] if unit.port is not None else [])]
        try:
            durable.make_folder(self.file.parent)
            durable.write_bytes(self.file, "".join(f"{line}\n" for line in lines).encode(), mode=0o640)
        except OSError as error:
            logger.warning("which camera is meant is not kept: cannot write %s: %s", self.file, error.strerror)
