"""A Debian system of its own with a real systemd, in a container of systemd-nspawn on top of this machine's kernel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import final

PATIENCE_S = 120.0
BOOT_S = 60.0
COMMAND_S = 120.0
NSPAWN = (
    *("systemd-nspawn", "--quiet", "--boot", "--private-network", "--register=no", "--keep-unit"),
    *("--console=read-only", "--link-journal=no", "--resolv-conf=off", "--timezone=off"),
)


def missing() -> str:
    """Why no container can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "this needs root"
    tools = ("systemd-nspawn", "mmdebstrap", "nsenter", "dpkg-deb")
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return f"no {' '.join(absent)}: run tests/boards/install-packages.sh" if absent else ""


@final
class Container:
    """Booted while its `with` block lasts. What is written in it goes to memory; `root` is never changed.

    folder: for what is mounted; path: where its files can be seen from here. shares: folders that it sees, read-only.
    """

    def __init__(self, root: Path, folder: Path, shares: dict[Path, str] | None = None) -> None:
        self.path = folder / "root"
        self._lower, self._layers = root, folder / "layers"
        self._shares = shares or {}
        self._log = folder / "container.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Container:
        for place in (self.path, self._layers):
            place.mkdir()
        _call("mount", "-t", "tmpfs", "-o", "size=6g", "edgemass-test", str(self._layers))
        try:
            for name in ("upper", "work"):
                (self._layers / name).mkdir()
            layers = f"lowerdir={self._lower},upperdir={self._layers}/upper,workdir={self._layers}/work"
            _call("mount", "-t", "overlay", "overlay", "-o", layers, str(self.path))
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._end()

    def run(self, *command: str, timeout_s: float = COMMAND_S, text: str = "") -> str:
        """Run to the end; what it wrote to standard output.

        Raises:
            AssertionError: it failed.
        """
        done = self.attempt(*command, timeout_s=timeout_s, text=text)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def attempt(self, *command: str, timeout_s: float = COMMAND_S, text: str = "") -> subprocess.CompletedProcess[str]:
        """As `run`, for what may fail."""
        inside = ("nsenter", "-t", str(self._leader), "-a", "--wdns=/", *command)
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
        return subprocess.run(
            inside, capture_output=True, text=True, check=False, timeout=timeout_s, input=text, env=environment
        )

    def shell(self, line: str) -> str:
        return self.run("sh", "-euc", line)

    def write(self, path: str, content: str, mode: str = "644") -> None:
        self.run("install", "-D", "-m", mode, "/dev/stdin", path, text=content)

    def wait_until(self, what: Callable[[], object], reason: str, patience_s: float = PATIENCE_S) -> None:
        """Ask until it is true; a failure tells `reason` and the end of the journal. States an order, never a speed."""
        deadline = time.monotonic() + patience_s
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {patience_s:.0f} s in vain: {reason}\n{self.journal()[-4000:]}")
            time.sleep(0.2)

    def journal(self, unit: str = "edgemass") -> str:
        return self.attempt("journalctl", "--no-pager", "-o", "cat", "-u", unit).stdout

    def _boot(self) -> None:
        binds = [f"--bind-ro={source}:{target}" for source, target in self._shares.items()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*NSPAWN, f"--directory={self.path}", *binds], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + BOOT_S
        while not self._up():
            told = self._log.read_text(errors="replace")[-2000:]
            assert self._process.poll() is None, f"the container ended: {told}"
            assert time.monotonic() < deadline, f"the container did not boot in {BOOT_S:.0f} s: {told}"
            time.sleep(0.1)

    def _up(self) -> bool:
        assert self._process is not None
        if not self._leader:
            self._leader = _leader_of(self._process.pid)
            return False
        state = self.attempt("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            if self._leader:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._leader, signal.SIGKILL)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for place in (self.path, self._layers):
            subprocess.run(["umount", "--recursive", "--lazy", place], check=False, capture_output=True, timeout=30)


def _leader_of(pid: int) -> int:
    """The container's own process 1 among the children of nspawn; 0 while there is none.

    nspawn's first child only prepares the second, which becomes systemd.
    """
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
    return 0


def _call(*command: str) -> None:
    done: Sequence[str] = command
    subprocess.run(done, check=True, capture_output=True, timeout=60)
