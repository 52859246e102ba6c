"""Which packages are installed, from their metadata; nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import Distribution, distributions
from typing import NamedTuple


class Package(NamedTuple):
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def version(name: str, folders: Sequence[str]) -> str | None:
    """Of an installed package; None where there is none."""
    wanted = _plain(name)
    return next((item.version for item in _installed(folders) if _plain(item.metadata["Name"] or "") == wanted), None)


def owners(module: str, folders: Sequence[str], *, prefix: str | tuple[str, ...]) -> list[Package]:
    """The packages that install this module, by name; only packages whose name begins with `prefix` are looked into."""
    found = {
        Package(item.metadata["Name"], item.version)
        for item in _installed(folders)
        if _plain(item.metadata["Name"] or "").startswith(prefix) and _installs(item, module)
    }
    return sorted(found)


def needed(name: str, folders: Sequence[str]) -> str:
    """What edgemass asks of a package, as in `numpy>=1.26`; the bare name where that is not known."""
    for item in _installed(folders):
        if _plain(item.metadata["Name"] or "") == "edgemass":
            for line in item.requires or ():
                requirement, _, marker = line.partition(";")
                if not marker and _plain(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]) == _plain(name):
                    return requirement.strip()
    return name


def release(text: str) -> tuple[int, ...]:
    """1.26.4rc1 -> (1, 26, 4), enough to compare with a minimum."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def _installed(folders: Sequence[str]) -> list[Distribution]:
    return list(distributions(path=list(folders)))


def _installs(item: Distribution, module: str) -> bool:
    top = (item.read_text("top_level.txt") or "").split()
    return module in top or any(file.parts[0] == module for file in item.files or ())


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
