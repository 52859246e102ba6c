"""What the kernel says of the board that it runs on."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_MOST_BYTES = 1 << 16
_TREES = ("proc/device-tree", "sys/firmware/devicetree/base")  # the first is a link to the second
_LOADERS = {  # of the dynamic linker: its path is fixed by the ABI, and says which programs a system runs
    "lib/ld-linux-aarch64.so.1": 64,
    "lib64/ld-linux-x86-64.so.2": 64,
    "lib/ld-linux-armhf.so.3": 32,
    "lib/ld-linux.so.2": 32,
}
_NARROW = {"aarch64": "armv7l", "arm64": "armv7l", "x86_64": "i686"}  # a 64-bit machine -> what 32-bit programs see
_PI_MODEL = re.compile(r"^Model\s*:\s*(?P<model>.+)$", re.MULTILINE)
_MEMORY = re.compile(r"^MemTotal:\s*(?P<kib>\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board as it describes itself.

    machine: of the kernel, as `uname -m` says. bits: of the programs, which may be 32 under a 64-bit kernel.
    model: its name of itself, "" where it has none. compatible: of its device tree, the most special first.
    dmi: vendor and product of a PC's firmware. memory_bytes: that the kernel has, None = unknown.
    sources: of these, by name: the file under the root that said it.
    """

    machine: str
    bits: int
    model: str = ""
    compatible: tuple[str, ...] = ()
    dmi: str = ""
    memory_bytes: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def userland(self) -> str:
        """The machine as programs see it: "armv7l" for 32 bits on an aarch64 kernel."""
        return _NARROW.get(self.machine, self.machine) if self.bits == 32 else self.machine

    @classmethod
    def read(cls, root: Path = Path("/")) -> Board:
        """root: that /proc, /sys and /lib are read under; what it does not say is this machine's."""
        sources: dict[str, str] = {}
        model = _model(root, sources)
        dmi = _dmi(root, sources)
        memory = _MEMORY.search(_text(root / "proc/meminfo"))
        return cls(
            machine=_machine(root, sources),
            bits=_bits(root, sources),
            model=model or dmi,
            compatible=_compatible(root, sources),
            dmi=dmi,
            memory_bytes=int(memory["kib"]) * 1024 if memory else None,
            sources=sources,
        )


def _machine(root: Path, sources: dict[str, str]) -> str:
    """/proc/sys/kernel/arch says what `uname -m` does, from Linux 6.1 on."""
    path = "proc/sys/kernel/arch"
    told = _text(root / path) if root != Path("/") else ""
    sources["machine"] = path if told else "uname -m"
    return told or platform.machine()


def _bits(root: Path, sources: dict[str, str]) -> int:
    if root != Path("/"):
        for loader, bits in _LOADERS.items():
            if os.path.lexists(root / loader):  # it may be a link that leads out of the tree
                sources["bits"] = loader
                return bits
    sources["bits"] = "this Python"
    return sys.maxsize.bit_length() + 1


def _model(root: Path, sources: dict[str, str]) -> str:
    """The device tree's; in containers, which hide that, a Raspberry Pi's kernel names it in /proc/cpuinfo too."""
    for tree in _TREES:
        if name := _text(root / tree / "model"):
            sources["model"] = f"{tree}/model"
            return name
    told = _PI_MODEL.search(_text(root / "proc/cpuinfo"))
    if told is not None:
        sources["model"] = "proc/cpuinfo"
    return told["model"].strip() if told else ""


def _compatible(root: Path, sources: dict[str, str]) -> tuple[str, ...]:
    for tree in _TREES:
        words = tuple(word.strip() for word in _text(root / tree / "compatible").split("\0") if word.strip())
        if words:
            sources["compatible"] = f"{tree}/compatible"
            return words
    return ()


def _dmi(root: Path, sources: dict[str, str]) -> str:
    folder = "sys/class/dmi/id"
    told = " ".join(filter(None, (_text(root / folder / leaf) for leaf in ("sys_vendor", "product_name"))))
    if told:
        sources["dmi"] = f"{folder}/product_name"
    return told


def _text(path: Path) -> str:
    """A small file without the white space and NUL at its ends; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).strip(b"\0 \t\r\n").decode("utf-8", "replace")
    except OSError:
        return ""
