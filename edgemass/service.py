"""Makes edgemass a service of this system: systemd's files from an installation of one's own, and away with them again.

What is installed is what the Debian package brings, with the path of this very installation in it, under /etc instead
of /usr/lib: an administrator's files. Doing it twice does nothing the second time.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgemass import durable
from edgemass.errors import EdgemassError, UsageError

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = (_PACKAGE / "_data" / "systemd", _PACKAGE.parent / "systemd")
"""In an installed wheel, and in a checkout."""
UNIT = "edgemass.service"
PACKAGED_UNITS = ("usr/lib/systemd/system/edgemass.service", "lib/systemd/system/edgemass.service")
PACKAGED_PROGRAM = "/usr/bin/edgemass"
FILES = {  # as it is called here -> where it belongs
    UNIT: "etc/systemd/system/edgemass.service",
    "edgemass.sysusers": "etc/sysusers.d/edgemass.conf",
    "edgemass.tmpfiles": "etc/tmpfiles.d/edgemass.conf",
    "60-edgemass.rules": "etc/udev/rules.d/60-edgemass.rules",
}
CONFIG = "etc/edgemass/edgemass.toml"
FOLDERS = {"etc/edgemass": 0o755, "etc/edgemass/conf.d": 0o755, "etc/edgemass/credentials": 0o700}
OURS = ("etc/edgemass", "var/lib/edgemass", "var/cache/edgemass")
HIDDEN = ("/tmp", "/var/tmp", "/run/user")  # noqa: S108 (that the service does not see them is the point)
COMMAND_S = 60.0

Say = Callable[[str], None]


@dataclass
class System:
    """Where to install. root: / or the root of an image, whose services are not started. dry_run: only tell."""

    root: Path = Path("/")
    dry_run: bool = False
    say: Say = print
    changed: set[str] = field(default_factory=set)

    @property
    def live(self) -> bool:
        return self.root == Path("/")

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        if path.is_file() and path.read_bytes() == data:
            return
        self.say(f"write /{name}")
        self.changed.add(name)
        if not self.dry_run:
            durable.make_folder(path.parent)
            durable.write_bytes(path, data)

    def folder(self, name: str, mode: int) -> None:
        path = self.root / name
        if path.is_dir() and stat.S_IMODE(path.stat().st_mode) == mode:
            return
        self.say(f"make /{name}")
        if not self.dry_run:
            durable.make_folder(path)
            path.chmod(mode)

    def delete(self, name: str) -> None:
        path = self.root / name
        if not (path.exists() or path.is_symlink()):
            return
        self.say(f"remove /{name}")
        self.changed.add(name)
        if not self.dry_run:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def run(self, *command: str, needed: bool = True) -> None:
        """One of the system's programs.

        Raises:
            EdgemassError: it failed, and is needed.
        """
        self.say(" ".join(command))
        if self.dry_run:
            return
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            if needed:
                raise EdgemassError(f"cannot run {command[0]}: {error}") from error
            return
        if done.returncode and needed:
            raise EdgemassError(f"{' '.join(command)} failed: {done.stderr.strip() or f'exit code {done.returncode}'}")


def install(system: System, program: Sequence[str] | None = None) -> None:
    """Install and start. program: what starts edgemass; None = this very installation.

    Raises:
        UsageError: the package brings the service already, or the service's user could not run this installation.
        EdgemassError: a program of the system failed.
        OSError: a file cannot be written.
    """
    _check(system)
    if system.live and program is None:
        check_reachable(Path(sys.prefix), Path(sys.base_prefix))
    unit = unit_for(program or this_program(), (_files() / UNIT).read_text(encoding="utf-8"))
    for name, target in FILES.items():
        system.write(target, unit.encode() if name == UNIT else (_files() / name).read_bytes())
    for name, mode in FOLDERS.items():
        system.folder(name, mode)
    if not (system.root / CONFIG).exists():
        system.write(CONFIG, (_files() / "edgemass.toml").read_bytes())
    if not system.live:
        system.run("systemd-sysusers", f"--root={system.root}", "edgemass.conf")
        system.run("systemctl", f"--root={system.root}", "enable", UNIT)
        return
    system.run("systemd-sysusers", "edgemass.conf")
    system.run("systemd-tmpfiles", "--create", "edgemass.conf")
    if FILES["60-edgemass.rules"] in system.changed:
        system.run("udevadm", "control", "--reload", needed=False)
        system.run("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=apex", needed=False)
    system.run("systemctl", "daemon-reload")
    system.run("systemctl", "enable", UNIT)
    # To load a model may take minutes: `systemctl status` tells.
    system.run("systemctl", "--no-block", "restart" if system.changed else "start", UNIT)


def remove(system: System, *, purge: bool = False) -> None:
    """Stop and remove what `install` installed; configuration and state stay. purge: those too, and the user.

    Raises:
        UsageError: the package brings the service.
        EdgemassError: a program of the system failed.
        OSError: a file cannot be removed.
    """
    _check(system)
    there = (system.root / FILES[UNIT]).exists()
    if there and system.live:
        system.run("systemctl", "disable", "--now", UNIT)
    elif there:
        system.run("systemctl", f"--root={system.root}", "disable", UNIT)
    for target in FILES.values():
        system.delete(target)
    if system.live and system.changed:
        system.run("systemctl", "daemon-reload")
        system.run("systemctl", "reset-failed", UNIT, needed=False)
        system.run("udevadm", "control", "--reload", needed=False)
    if purge:
        for name in OURS:
            system.delete(name)
        users = system.root / "etc/passwd"
        if users.is_file() and "\nedgemass:" in f"\n{users.read_text(encoding='utf-8')}":
            system.run("userdel", *([] if system.live else ["--root", str(system.root)]), "edgemass")


def unit_for(program: Sequence[str], unit: str) -> str:
    """The unit with this program in the place of the package's; with what the program's folder needs to be seen."""
    words = " ".join(f'"{word}"' if " " in word else word for word in (word.replace("%", "%%") for word in program))
    unit = unit.replace(f"ExecStart={PACKAGED_PROGRAM} ", f"ExecStart={words} ")
    if Path(program[0]).is_relative_to("/home"):
        unit = unit.replace("ProtectHome=yes", "ProtectHome=read-only")
    return unit


def this_program() -> tuple[str, ...]:
    """What starts this installation of edgemass."""
    script = Path(sys.prefix) / "bin" / "edgemass"
    return (str(script),) if script.is_file() else (sys.executable, "-m", "edgemass")


def check_reachable(*places: Path) -> None:
    """See that another user can run what lies there.

    Raises:
        UsageError: a folder keeps others out, or the service sees another one in its place.
    """
    for place in places:
        for folder in (place, *place.parents):
            if not folder.stat().st_mode & 0o001:
                raise UsageError(
                    f"the service's user edgemass could not run {place}: {folder} keeps others out; install edgemass "
                    "into a folder for all, such as `python3 -m venv /opt/edgemass`"
                )
        if any(place.is_relative_to(hidden) for hidden in HIDDEN):
            raise UsageError(f"the service does not see {place}; install edgemass elsewhere, such as /opt/edgemass")


def _check(system: System) -> None:
    if any((system.root / unit).exists() for unit in PACKAGED_UNITS):
        raise UsageError("the Debian package brings the service; use apt or systemctl")
    if not system.dry_run and system.live:
        if os.geteuid() != 0:
            raise UsageError("this needs root; use sudo, or --dry-run to see what would be done")
        if not Path("/run/systemd/system").is_dir():
            raise UsageError("this system was not started by systemd; --root DIR installs into an image")


def _files() -> Path:
    return next(folder for folder in _FOLDERS if folder.is_dir())
