"""What a person asked for: TOML files, read strictly, and what stands for a value that nobody gave.

A file with an unknown key fails at start and names file, camera and key. Options of a plug-in stand in its address and
are checked by the plug-in.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import msgspec

from edgemass.config.motion import MotionConfig
from edgemass.config.ranges import MAX_SECONDS, check_ranges
from edgemass.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MACHINE_ID = Path("/etc/machine-id")
MAX_BYTES = 4 * 1024 * 1024
MAX_SIDE = 65535  # of a JPEG; no camera has more
MIN_FPS, MAX_FPS = 1e-6, 1e6  # one picture in eleven days; what nanoseconds still tell apart
MAX_THREADS = 1024
MIN_AGE_MS, MAX_AGE_MS = 1.0, 3_600_000.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
NAME_WANTED = "must be letters, digits, `_`, `.` and `-`, at most 63"
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<field>[^`]+)`( - at `\$\.(?P<table>\w+)`)?")


class CameraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera.

    source: an address as `--camera` takes it. width, height, fps, fourcc: asked of the device; None leaves them to it.
    rotate: degrees clockwise, after crop. crop: x1, y1, x2, y2 as fractions of the captured picture.
    max_fps: frames a second offered to the detector; the camera itself may run faster.
    score: only detections above this; by label with "*" for all others; None = the model's own default.
    max_age_ms: a frame that is older when its run would begin is dropped; not for files that give every frame.
    motion: true, or a table of what counts as it: only frames with motion are run; false = all are.
    realtime: a file is played at its own speed, as a camera would, with drops.
    """

    source: str
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    crop: tuple[float, float, float, float] | None = None
    max_fps: float | None = None
    score: float | dict[str, float] | None = None
    max_age_ms: float = 1000.0
    motion: bool | MotionConfig = False
    realtime: bool = False

    def __post_init__(self) -> None:
        if self.crop is not None:
            x1, y1, x2, y2 = self.crop
            if not (0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1):
                raise ValueError(
                    f"crop must be x1, y1, x2, y2 with 0 <= x1 < x2 <= 1 and y alike, found {list(self.crop)}"
                )
        for field, value, least, most in (
            ("width", self.width, 1, MAX_SIDE),
            ("height", self.height, 1, MAX_SIDE),
            ("fps", self.fps, MIN_FPS, MAX_FPS),
            ("max_fps", self.max_fps, MIN_FPS, MAX_FPS),
            ("max_age_ms", self.max_age_ms, MIN_AGE_MS, MAX_AGE_MS),
        ):
            if value is not None and value <= 0:
                raise ValueError(f"{field} must be above 0, found {value}")
            if value is not None and not least <= value <= most:
                raise ValueError(f"{field} must lie between {least} and {most}, found {value}")
        if self.fourcc is not None and len(self.fourcc) != 4:
            raise ValueError(f"fourcc must have four characters such as MJPG, found {self.fourcc!r}")
        scores = self.score.values() if isinstance(self.score, dict) else [self.score]
        if not all(score is None or 0 <= score <= 1 for score in scores):
            raise ValueError(f"score must lie between 0 and 1, found {self.score}")


class UpdatesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Models that are sent to this board.

    registry: oci://host[:port]/repository, or the folder of an OCI layout; None = only what a person puts in the store.
    trust: the root of trust, the file 1.root.json of `edgemass trust init`; needed with a registry.
    metadata: where the trust metadata is; None = <registry>/trust/.
    ca: certificates to trust beside the system's. user, password_file: of the registry.
    bandwidth: bytes a second that a download may take; None = all there is.
    hardware: further words that this board answers to, beside its machine type and the names in its device tree.
    slot: of this board's model. deadline_s: of everything from an order to the last byte.
    probation_s: a new model has to do well for so long before it stays.
    max_slowdown: a new model may take so many times as long for a frame (95th percentile).
    keep: confirmed models that stay in the store; at least two.
    """

    registry: str | None = None
    trust: str | None = None
    metadata: str | None = None
    ca: str | None = None
    user: str | None = None
    password_file: str | None = None
    bandwidth: float | None = None
    hardware: tuple[str, ...] = ()
    slot: str = "main"
    deadline_s: float = 3600.0
    probation_s: float = 300.0
    max_slowdown: float = 2.0
    keep: int = 2

    def __post_init__(self) -> None:
        if not is_name(self.slot):
            raise ValueError(f"slot {self.slot!r} {NAME_WANTED}")
        if self.registry is not None and self.trust is None:
            raise ValueError("registry without trust: name the root of trust, 1.root.json of `edgemass trust init`")
        check_ranges(
            "updates",
            ("bandwidth", self.bandwidth, 1024.0, 1e12),
            ("deadline_s", self.deadline_s, 1.0, MAX_SECONDS),
            ("probation_s", self.probation_s, 0.0, MAX_SECONDS),
            ("max_slowdown", self.max_slowdown, 1.0, 1000.0),
            ("keep", self.keep, 2, 100),
        )


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One board.

    device: its id in topics and documents. model: MODEL as the command line takes it. sinks: addresses.
    backend: what to run on, in order of preference, as `--backend` takes it; one text or a list.
    threads, strict: asked of the runtime; strict refuses to run on anything else than the first that was asked for.
    variant: run this one of the model and no other.
    tune: where neither backend nor threads nor variant is asked for, measure once in the background what runs best.
    frames: end after so many frames of each camera; None = never.
    state: folder of the store, the trust metadata and the orders; None = /var/lib/edgemass where that can be written,
        else ~/.local/state/edgemass.
    updates: models that are sent to this board; None = the board runs `model`, and what a person activates.
    """

    cameras: dict[str, CameraConfig]
    model: str | None = None
    device: str = ""
    sinks: tuple[str, ...] = ()
    backend: str | tuple[str, ...] | None = None
    threads: int | None = None
    strict: bool = False
    variant: str | None = None
    tune: bool = True
    frames: int | None = None
    state: str | None = None
    updates: UpdatesConfig | None = None

    def __post_init__(self) -> None:
        for what, name in [("device", self.device)] * bool(self.device) + [("camera", name) for name in self.cameras]:
            if not is_name(name):
                raise ValueError(f"{what} name {name!r} {NAME_WANTED}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads must lie between 1 and {MAX_THREADS}, found {self.threads}")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames must be above 0, found {self.frames}")


def is_name(text: str) -> bool:
    """Whether a device or a camera may be called so."""
    return _NAME.fullmatch(text) is not None


def device_id(machine_id: Path = MACHINE_ID) -> str:
    """Host name + 4 hex digits of the hashed machine id: stable over restarts, and two cloned images differ by name."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname().split(".")[0])[:58] or "edgemass"
    try:
        secret = machine_id.read_bytes().strip()
    except OSError:
        secret = b""
    return f"{host}-{hashlib.sha256(b'edgemass' + secret).hexdigest()[:4]}"


def state_folder(asked: str | Path | None = None) -> Path:
    """Where this device keeps its models, the trust metadata and the orders.

    asked: the folder to take. None = that of the system's daemon where it can be written, else the user's own.
    """
    if asked is not None:
        return Path(asked)
    system = Path("/var/lib/edgemass")
    if os.access(system, os.W_OK):
        return system
    try:
        return Path("~/.local/state/edgemass").expanduser()
    except RuntimeError:  # a service without a home
        return system


def load(path: Path) -> Config:
    """Read one configuration file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or asks for something that does not exist.
    """
    try:
        table = tomllib.loads(_text(path))
    except ValueError as error:  # TOML's errors, UTF-8's, and Python's about a number of thousands of digits
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is not TOML: it is nested too deeply") from error
    cameras = table.pop("cameras", {})
    if not isinstance(cameras, Mapping) or not all(isinstance(camera, Mapping) for camera in cameras.values()):
        raise ConfigError(f"{path}: cameras must be tables such as [cameras.door] with source = ...")
    parsed = {name: convert(camera, CameraConfig, f"{path}: camera {name}") for name, camera in cameras.items()}
    return convert({**table, "cameras": parsed}, Config, str(path))


def _text(path: Path) -> str:
    """The text of a file, at most MAX_BYTES.

    Raises:
        ConfigError: it cannot be read, is no file, or is larger.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is no file; wanted TOML")
        if status.st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB; wanted a configuration")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


_T = TypeVar("_T", bound=msgspec.Struct)


def convert(table: Mapping[str, Any], kind: type[_T], where: str) -> _T:
    """A table as a typed value.

    where: what an error begins with: file and camera.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a missing one, or a value that does not fit.
    """
    try:
        return msgspec.convert(dict(table), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {_explain(str(error), kind)}") from error


def _explain(problem: str, kind: type[msgspec.Struct]) -> str:
    match = _UNKNOWN_FIELD.search(problem)
    if match is None:
        return problem.replace("`$.", "`").replace("| object`", "| table`")
    kind = _inner(kind, match["table"]) or kind
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    near = difflib.get_close_matches(match["field"], known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
    where = f" of `{match['table']}`" if match["table"] else ""
    return f"unknown key `{match['field']}`{where}; {hint}"


def _inner(kind: type[msgspec.Struct], key: str | None) -> type[msgspec.Struct] | None:
    """The type of the table that may stand under a key."""
    for field in msgspec.structs.fields(kind):
        if field.encode_name == key:
            types = (field.type, *get_args(field.type))
            return next(
                (found for found in types if isinstance(found, type) and issubclass(found, msgspec.Struct)), None
            )
    return None
