"""The machine as the checks see it: everything they look at comes through here, so that tests can hand in another."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from edgemass.doctor.child import Answer, ask
from edgemass.health.tree import Tree

T = TypeVar("T")
Ask = Callable[[str, Mapping[str, object], float], Answer]
"""(`module:function`, its argument, seconds) -> what it said in a child process."""

PROBE_S = 60.0
"""An import of OpenCV or ONNX Runtime from a worn SD card takes 10 s and more; only what hangs gets so far."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Machine(Tree):
    """root: what /proc, /sys, /dev, /etc, /usr and /run are read under.

    architecture: as `uname -m` says. pointer_bits: of this Python, which may be 32 on a 64-bit kernel.
    packages: folders to look for installed packages in.
    camera, mqtt, http, model_asked, config: addresses, MODEL and file that the user asked about.
    daemon: an edgemass runs here with this configuration: what it has is not opened. runtime: the folder of its
        status; None = the service's. state: the folder of its state, or of one that this user would start; None = what
        the configuration names, else the service's.
    """

    python: tuple[int, int, int] = sys.version_info[:3]
    architecture: str = field(default_factory=platform.machine)
    pointer_bits: int = sys.maxsize.bit_length() + 1
    packages: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    camera: str | None = None
    mqtt: str | None = None
    http: str | None = None
    model_asked: str | None = None
    config: Path | None = None
    daemon: bool = False
    runtime: Path | None = None
    state: Path | None = None
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
