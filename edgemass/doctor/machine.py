"""The machine as the checks see it: everything they look at comes through here, so that tests can hand in another."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from edgemass.device_profile import Board
from edgemass.doctor.child import Answer, ask

T = TypeVar("T")
Ask = Callable[[str, Mapping[str, object], float], Answer]
"""(`module:function`, its argument, seconds) -> what it said in a child process."""

PROBE_S = 60.0
"""An import of OpenCV or ONNX Runtime from a worn SD card takes 10 s and more; only what hangs gets so far."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Machine:
    """root: what /proc, /sys, /dev, /etc, /usr and /run are read under.

    architecture: as `uname -m` says. pointer_bits: of this Python, which may be 32 on a 64-bit kernel.
    packages: folders to look for installed packages in. camera, mqtt: addresses that the user asked about.
    """

    root: Path = Path("/")
    python: tuple[int, int, int] = sys.version_info[:3]
    architecture: str = field(default_factory=platform.machine)
    pointer_bits: int = sys.maxsize.bit_length() + 1
    packages: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    camera: str | None = None
    mqtt: str | None = None
    ask: Ask = ask
    _answers: dict[str, Answer] = field(default_factory=dict)

    def probe(self, name: str, /, **argument: object) -> Answer:
        """What a function of `edgemass.doctor.probes` says."""
        return self.once(f"edgemass.doctor.probes:{name}", **argument)

    def once(self, target: str, /, **argument: object) -> Answer:
        """What a function says in a child process; asked the first time only."""
        key = f"{target}{sorted(argument.items())}"
        if key not in self._answers:
            self._answers[key] = self.ask(target, argument, PROBE_S)
        return self._answers[key]

    def text(self, path: str) -> str | None:
        """A small file under the root, without the white space and NUL at its end; None where it cannot be read."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(1 << 20).rstrip(b"\0 \t\r\n").decode("utf-8", "replace")
        except OSError:
            return None

    def number(self, path: str, base: int = 10) -> int | None:
        """The integer in a file under the root."""
        try:
            return int(self.text(path) or "", base)
        except ValueError:
            return None

    def exists(self, path: str) -> bool:
        try:
            return (self.root / path).exists()
        except OSError:
            return False

    @property
    def model(self) -> str:
        """The board's name of itself; "" where it has none."""
        return Board.read(self.root).model

    @property
    def is_pi(self) -> bool:
        return self.model.startswith("Raspberry Pi")

    @property
    def is_jetson(self) -> bool:
        return "jetson" in self.model.lower() or self.exists("etc/nv_tegra_release")

    @property
    def in_container(self) -> bool:
        """Docker, Podman, or what says so to systemd (systemd.exec's CONTAINER_INTERFACE)."""
        return any(self.exists(mark) for mark in (".dockerenv", "run/.containerenv", "run/systemd/container"))


def answered(answer: Answer, kind: type[T]) -> T | None:
    """The value of an answer, checked; None where there is none.

    Raises:
        msgspec.ValidationError: the probe said something else.
    """
    return None if answer.failure else msgspec.convert(answer.value, kind)
