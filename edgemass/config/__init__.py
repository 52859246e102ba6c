"""What a person asked for: TOML files, read strictly, and what stands for a value that nobody gave.

`edgemass.toml` comes first, then every `conf.d/*.toml` beside it in the order of names: tables are joined key by key,
and of two values for one key the later file's counts.
A file with an unknown key fails at start and names file, camera and key. Options of a plug-in stand in its address and
are checked by the plug-in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgemass.config.camera import CameraConfig
from edgemass.config.delivery import DeliveryConfig
from edgemass.config.explaining import nearest
from edgemass.config.governor import GovernorConfig
from edgemass.config.health import HealthConfig
from edgemass.config.home_assistant import HomeAssistantConfig
from edgemass.config.http import HttpConfig
from edgemass.config.names import NAME_WANTED, SYSTEM_STATE, device_id, is_name, state_folder
from edgemass.config.reading import convert, join, read_toml
from edgemass.config.rules import RuleConfig
from edgemass.config.scene import Filters, LineConfig, ZoneConfig
from edgemass.config.updates import UpdatesConfig
from edgemass.device_profile import AUTO
from edgemass.errors import ConfigError

__all__ = [
    "NAMED_TABLES",
    "NAME_WANTED",
    "SYSTEM_STATE",
    "CameraConfig",
    "Config",
    "DeliveryConfig",
    "GovernorConfig",
    "HealthConfig",
    "HttpConfig",
    "Record",
    "UpdatesConfig",
    "camera_config",
    "convert",
    "device_id",
    "files",
    "is_name",
    "load",
    "says",
    "state_folder",
]

NAME = "edgemass.toml"
SYSTEM = Path("/etc/edgemass") / NAME
"""Where the service's configuration lies."""
MAX_THREADS = 1024
NAMED_TABLES: dict[str, type[Filters]] = {"zones": ZoneConfig, "lines": LineConfig, "rules": RuleConfig}
"""Of a camera: key -> what stands under each name."""


class Record(msgspec.Struct, frozen=True):
    """folder: of a recording, see pipeline.recording. frames: the pictures too."""

    folder: Path
    frames: bool = False


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One board.

    device: its id in topics and documents. model: MODEL as the command line takes it. sinks: addresses.
    backend: what to run on, in order of preference, as `--backend` takes it; one text or a list.
    threads, strict: asked of the runtime; strict refuses to run on anything else than the first that was asked for.
    profile: of device-profiles/, for what nobody asks for and nothing was measured; "auto" = as the board is
        recognised.
    variant: run this one of the model and no other.
    tune: where neither backend nor threads nor variant is asked for, measure once in the background what runs best.
    frames: end after so many frames of each camera; None = never.
    state: folder of the store, the trust metadata and the orders; None = /var/lib/edgemass for root, else
        ~/.local/state/edgemass.
    root: what /proc and /sys are read under; of the command line, not a key.
    health: how the device tells how it is.
    runtime: folder of status.json and its lock, None = there is none; of the command line, not a key.
    record: where what the scenes are given is taken down; of the command line, not a key.
    governor: what is done when the board gets hot, or lacks power.
    file: where all this was read from, "" for the command line; not a key.
    delivery: how events wait for a broker that is away.
    updates: models that are sent to this board; None = the board runs `model`, and what a person activates.
    http: the device page and its endpoints; None = there are none.
    home_assistant: how the device shows itself there.
    """

    cameras: dict[str, CameraConfig]
    model: str | None = None
    device: str = ""
    sinks: tuple[str, ...] = ()
    backend: str | tuple[str, ...] | None = None
    threads: int | None = None
    strict: bool = False
    variant: str | None = None
    profile: str = AUTO
    tune: bool = True
    frames: int | None = None
    state: str | None = None
    updates: UpdatesConfig | None = None
    governor: GovernorConfig = GovernorConfig()
    root: str = "/"
    delivery: DeliveryConfig = DeliveryConfig()
    http: HttpConfig | None = None
    health: HealthConfig = HealthConfig()
    runtime: str | None = None
    home_assistant: HomeAssistantConfig = HomeAssistantConfig()
    record: Record | None = None
    file: str = ""

    def __post_init__(self) -> None:
        for what, name in [("device", self.device)] * bool(self.device) + [("camera", name) for name in self.cameras]:
            if not is_name(name):
                raise ValueError(f"{what} name {name!r} {NAME_WANTED}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads must lie between 1 and {MAX_THREADS}, found {self.threads}")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames must be above 0, found {self.frames}")


NO_KEYS = frozenset({"file", "record", "root", "runtime"})
"""Fields of Config that no file may set."""


def load(path: Path) -> Config:
    """Read a configuration file and those of `conf.d` beside it; of a folder, its `edgemass.toml`.

    Raises:
        ConfigError: one cannot be read, is not TOML, or asks for something that does not exist.
    """
    drops = files(path)
    tables = {file: read_toml(file) for file in drops}
    for file, table in tables.items():
        _check_keys(file, table)
    merged: dict[str, Any] = {}
    for table in tables.values():
        merged = join(merged, table)
    cameras = merged.pop("cameras", {})
    parsed = {name: camera_config(camera, f"{_said(tables, name)}: camera {name}") for name, camera in cameras.items()}
    for key, value in merged.items():
        convert({key: value, "cameras": {}}, Config, str(_last_said(tables, key)))
    where = ", ".join(str(file) for file in drops)
    return convert({**merged, "cameras": parsed, "file": str(drops[0])}, Config, where)


def files(path: Path) -> list[Path]:
    """The files that are read for one that a person named, in order.

    Raises:
        ConfigError: a folder may not be looked into, so that nobody knows what stands there.
    """
    main = path / NAME if os.path.isdir(path) else path  # noqa: PTH112 (Path.is_dir raises where nobody may look)
    drops = main.parent / "conf.d"
    try:
        names = sorted(name for name in os.listdir(drops) if name.endswith(".toml"))  # noqa: PTH208 (a glob hides errors)
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        read_toml(main)  # says it of the file that was named, where that cannot be read either
        raise ConfigError(
            f"cannot read {drops}: {error.strerror}; let this user read it, or run it as the user who may"
        ) from error
    return [main, *(drops / name for name in names)]


def says(path: Path, *keys: str) -> Path:
    """Which of the files that are read for `path` is to blame for a value: the last that says it, else the first.

    keys: of the tables around it, then its own: "cameras", "door", "source".

    Raises:
        ConfigError: as `load`.
    """
    return _last_said({file: read_toml(file) for file in files(path)}, *keys)


def _last_said(tables: Mapping[Path, Mapping[str, Any]], *keys: str) -> Path:
    return next((file for file in reversed(list(tables)) if _holds(tables[file], keys)), next(iter(tables)))


def _holds(table: Mapping[str, Any], keys: Sequence[str]) -> bool:
    inner: Any = table
    for key in keys:
        if not isinstance(inner, Mapping) or key not in inner:
            return False
        inner = inner[key]
    return True


def _check_keys(file: Path, table: Mapping[str, Any]) -> None:
    """What only the one file that says it can be blamed for.

    Raises:
        ConfigError: a key that there is not.
    """
    known = [field.encode_name for field in msgspec.structs.fields(Config) if field.encode_name not in NO_KEYS]
    for key in table.keys() - set(known):
        raise ConfigError(f"{file}: unknown key `{key}`{nearest(key, known)}")
    cameras = table.get("cameras", {})
    if not isinstance(cameras, Mapping) or not all(isinstance(camera, Mapping) for camera in cameras.values()):
        raise ConfigError(f"{file}: cameras must be tables such as [cameras.door] with source = ...")
    of_camera = [field.encode_name for field in msgspec.structs.fields(CameraConfig)]
    for name, camera in cameras.items():
        for key in camera.keys() - set(of_camera):
            raise ConfigError(f"{file}: camera {name}: unknown key `{key}`{nearest(key, of_camera)}")


def _said(tables: Mapping[Path, Mapping[str, Any]], camera: str) -> str:
    """The files that speak of a camera."""
    return ", ".join(str(file) for file, table in tables.items() if camera in table.get("cameras", {}))


def camera_config(table: Mapping[str, Any], where: str) -> CameraConfig:
    """One camera's table, with the tables in it that have names of their own.

    Raises:
        ConfigError: as `convert`; names the zone, line or rule too.
    """
    named = {
        key: {
            name: convert(_table(inner, f"{where}: {key}.{name}"), kind, f"{where}: {key}.{name}")
            for name, inner in table[key].items()
        }
        for key, kind in NAMED_TABLES.items()
        if isinstance(table.get(key), Mapping)
    }
    return convert({**table, **named}, CameraConfig, where)


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: must be a table, found {value!r}")
    return value
