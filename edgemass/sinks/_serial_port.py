"""Opening a serial port for ourselves alone, and what keeps it from being opened, in words that say what to do."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import re
import termios
from dataclasses import dataclass
from pathlib import Path

import serial

from edgemass.sinks._serial_options import SerialOptions

BY_ID = Path("/dev/serial/by-id")
PROC = Path("/proc")
_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_GONE = (errno.ENXIO, errno.ENODEV, errno.EIO)


@dataclass(frozen=True)
class Trouble:
    """kind: troubles of one kind are one for the log."""

    kind: str
    text: str


class PortError(Exception):
    """The port cannot be opened now."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


def open_port(options: SerialOptions) -> serial.Serial:
    """Open it raw, and locked: by flock(2), as other programs with pyserial do, and by TIOCEXCL, for the rest.

    What it gives must be read and written by its descriptor, which does not block.

    Raises:
        PortError: not there, not ours to open, in use, or no serial port.
    """
    try:
        port = serial.Serial(
            str(options.path),
            options.baud,
            parity=_PARITY[options.parity],
            rtscts=options.rtscts,
            exclusive=True,
            timeout=0,
        )
    except (OSError, termios.error, ValueError) as error:  # SerialException is an OSError
        raise PortError(_trouble(error, options)) from error
    with contextlib.suppress(OSError):  # a driver without it is locked by flock at least
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    return port


def _trouble(error: Exception, options: SerialOptions) -> Trouble:
    path = options.path
    number = _number(error)
    if number in (errno.EACCES, errno.EPERM):
        return forbidden(path)
    if number in (errno.EBUSY, errno.EAGAIN):
        return Trouble("busy", f"another program uses {path}{_named(holders(path))}; end it, or give another port")
    settings = f"{path} cannot do baud={options.baud} parity={options.parity}; give others"
    said = {
        errno.ENOENT: f"{path} is not there; plug it in, or give the port that `ls /dev/serial/by-id` shows",
        errno.ENOTTY: f"{path} is no serial port; give another",
        errno.EINVAL: settings,
        **{gone: f"there is no device behind {path} ({os.strerror(gone)}); plug it in" for gone in _GONE},
    }
    if isinstance(error, ValueError):
        return Trouble("settings", settings)
    return Trouble(str(number), said.get(number, f"cannot open {path}: {error}"))


def _number(error: BaseException | None) -> int:
    """The errno, which pyserial leaves with the error that it met; 0 where nobody gives one."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else error.args[0] if error.args else None
        if isinstance(number, int):
            return number
        error = error.__context__
    return 0


def forbidden(path: Path) -> Trouble:
    """Which group this user lacks."""
    group = _group(path)
    return Trouble(
        "forbidden",
        f"this user may not open {path}; sudo usermod -aG {group} $USER, then log in again; "
        f"for a service: SupplementaryGroups={group}",
    )


def _group(path: Path) -> str:
    """Whose port it is; Debian's is dialout, Arch's uucp."""
    try:
        status = path.stat()
        name = grp.getgrgid(status.st_gid).gr_name if status.st_mode & 0o060 == 0o060 else ""
    except (OSError, KeyError):
        name = ""
    return name if name not in ("", "root") else "dialout"


def _named(programs: list[str]) -> str:
    return f" ({', '.join(programs)})" if programs else ""


def holders(path: Path, proc: Path = PROC) -> list[str]:
    """Programs that have it open, as far as this user may know: `minicom, process 812`. Takes milliseconds."""
    found = []
    with contextlib.suppress(OSError):
        wanted = path.resolve()
        for folder in proc.glob("[0-9]*"):
            if folder.name != str(os.getpid()) and _holds(folder, wanted):
                with contextlib.suppress(OSError):
                    name = (folder / "comm").read_text(encoding="utf-8", errors="replace").strip()
                    found.append(f"{name}, process {folder.name}")
    return found


def _holds(folder: Path, wanted: Path) -> bool:
    try:
        return any(Path(link).readlink() == wanted for link in (folder / "fd").iterdir())
    except OSError:  # not ours to see, or it ended meanwhile
        return False


def stable_name(path: Path, by_id: Path = BY_ID) -> Path | None:
    """The name that survives replugging, for a port whose number depends on the order of plugging."""
    if not re.fullmatch(r"tty(USB|ACM)\d+", path.name):
        return None
    with contextlib.suppress(OSError):
        for link in sorted(by_id.iterdir()):
            if link.resolve() == path.resolve():
                return link
    return None
