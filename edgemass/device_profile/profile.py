"""One board: what it is recognised by, what it runs on, and where its limits are."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from edgemass.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AUTO = "auto"
_PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = (_PACKAGE / "_data" / "device-profiles", _PACKAGE.parent / "device-profiles")
"""In an installed wheel, and in a checkout."""


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a board is recognised by; each word belongs to one profile.

    compatible: of its device tree. soc: of its device tree too, for boards on the same chip that no profile names.
    model, dmi: patterns (`*`) of the name that it gives itself. machine: of its programs, for what nothing else tells.
    """

    compatible: tuple[str, ...] = ()
    soc: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    dmi: tuple[str, ...] = ()
    machine: tuple[str, ...] = ()


class Thermal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Degrees Celsius. soft_c: from here on the governor holds back. hard_c: here the board slows itself down.

    zones: kinds of /sys/class/thermal zones that tell how hot the chip is; () = the hottest of all.
    throttle_word: the file under the root with the firmware's bits, "" where there is none; bits: what they mean now.
    """

    soft_c: float
    hard_c: float
    zones: tuple[str, ...] = ()
    throttle_word: str = ""
    bits: dict[str, int] = {}

    def __post_init__(self) -> None:
        if not 0 < self.soft_c < self.hard_c < 150:
            raise ValueError(
                f"soft_c must be above 0 and below hard_c, hard_c below 150; found {self.soft_c:g} and {self.hard_c:g}"
            )


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames a second to plan with, all cameras together; source: where the figure comes from."""

    fps: float
    source: str


class Defaults(msgspec.Struct, frozen=True):
    """What to run on where nobody asks and nothing was measured.

    backends: as `--backend` takes them, best first; () = as the model lists them. threads: None = cores minus one.
    """

    backends: tuple[str, ...] = ()
    threads: int | None = None


class DeviceProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One board.

    name: of its file. extra: of edgemass, to install there. backends: as `--backend` takes them, best first.
    backends_32bit: where programs have 32 bits, None = the same. threads: of the runtime, None = cores minus one.
    cameras: kinds that it has connectors for. model_bytes: the largest model file to plan with.
    budget: kind of model ("light": up to 1 GMAC a frame, "medium": up to 5) -> frames a second.
    """

    title: str
    extra: str
    match: Match
    thermal: Thermal
    cameras: tuple[Literal["csi", "v4l2"], ...]
    model_bytes: int
    backends: tuple[str, ...] = ()
    backends_32bit: tuple[str, ...] | None = None
    threads: int | None = None
    budget: dict[Literal["light", "medium"], Budget] = {}
    name: str = ""

    def defaults(self, bits: int) -> Defaults:
        """bits: of the programs."""
        narrow = bits == 32 and self.backends_32bit is not None
        return Defaults(self.backends_32bit or () if narrow else self.backends, self.threads)


@lru_cache(maxsize=4)
def profiles(folders: tuple[Path, ...] = FOLDERS) -> Mapping[str, DeviceProfile]:
    """All that there are, by name.

    Raises:
        ConfigError: a file is damaged, or two profiles are recognised by the same word.
    """
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise ConfigError(f"no device profiles in {' or '.join(map(str, folders))}; install edgemass again")
    found = {path.stem: load(path) for path in sorted(folder.glob("*.toml"))}
    claimed: dict[tuple[str, str], str] = {}
    for name, profile in found.items():
        for kind, words in msgspec.structs.asdict(profile.match).items():
            for word in words:
                tree = "device tree" if kind in ("compatible", "soc") else kind
                if claimed.setdefault((tree, word), name) != name:
                    raise ConfigError(f"{folder}: {claimed[tree, word]} and {name} both claim {word!r}")
    return found


def load(path: Path) -> DeviceProfile:
    """Read one file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has a key or value that no profile has.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        if "name" in table:
            raise ConfigError(f"{path}: unknown key `name`; the file's own name is that of the profile")
        return msgspec.convert({**table, "name": path.stem}, DeviceProfile)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


def names() -> tuple[str, ...]:
    """Of all profiles."""
    return tuple(profiles())


def named(name: str) -> DeviceProfile:
    """One profile.

    Raises:
        ConfigError: there is none of that name.
    """
    known = profiles()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"no device profile {name!r}; {hint}")
    return known[name]
