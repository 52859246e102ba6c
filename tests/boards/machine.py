"""A whole arm64 machine in QEMU, all in software: Debian's kernel with its virtual V4L2 cameras, and its user land."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, final

GUEST = Path(__file__).with_name("guest")
REPOSITORY = Path(__file__).resolve().parents[2]
BOOT_S = 240.0  # 8 s on two cores of a PC that does nothing else
PATIENCE_S = 240.0
END_S = 60.0
QEMU = shlex.split(
    "qemu-system-aarch64 -machine virt -cpu max,pauth-impdef=on -accel tcg,thread=multi -smp 2 -m 1536 -nic none "
    "-display none -monitor none -no-reboot -device virtio-rng-pci -device virtio-serial-pci "
    "-device virtserialport,chardev=port"
)


def missing() -> str:
    """Why no machine can be booted here; empty when one can."""
    if os.geteuid() != 0:
        return "this needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    tools = ("mmdebstrap", "qemu-system-aarch64", "depmod", "cpio")
    absent = [tool for tool in tools if shutil.which(tool, path=path) is None]
    return f"no {' '.join(absent)}: run tests/boards/install-packages.sh" if absent else ""


@final
class Machine:
    """Powered on while its `with` block lasts. console: what the kernel and the first programs said, for failures.

    systemd: it is process 1; else there is nothing but the commands that are sent.
    """

    def __init__(self, root: Path, assets: Path, folder: Path, *, systemd: bool = False) -> None:
        self._systemd = systemd
        self.console = folder / "console.log"
        self._root, self._assets, self._folder = root, assets, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port: socket.socket | None = None
        self._received = b""

    def __enter__(self) -> Machine:
        initramfs = self._folder / "initramfs.gz"
        subprocess.run([GUEST / "make-initramfs.sh", self._root, initramfs], check=True, timeout=60, env=_with_sbin())
        (kernel,) = (self._root / "boot").glob("vmlinuz-*")
        words = f"quiet panic=-1 console=ttyAMA0{' edgemass.systemd' if self._systemd else ''}"
        ours, theirs = socket.socketpair()
        shares = {"root": self._root, "repository": REPOSITORY, "assets": self._assets}
        with (self._folder / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*_command(kernel, initramfs, self.console, port=theirs.fileno(), shares=shares), "-append", words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        theirs.close()
        self._port = ours
        try:
            self._receive(BOOT_S)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stop()

    def run(self, *command: str, timeout_s: float = PATIENCE_S, text: str = "") -> str:
        """Run to the end; what it wrote to standard output.

        Raises:
            AssertionError: it failed, or did not end in time.
        """
        reply = self._ask({"run": command, "input": text, "timeout_s": timeout_s}, timeout_s)
        assert reply["code"] == 0, f"{' '.join(command)}: {reply['code']}: {reply['out']}{reply['err']}"
        return str(reply["out"])

    def shell(self, line: str, *, timeout_s: float = PATIENCE_S) -> str:
        return self.run("sh", "-euc", line, timeout_s=timeout_s)

    def start(self, log: str, *command: str, user: str = "") -> int:
        """Start in the background with its output in `log`; the process id."""
        return int(self._ask({"start": command, "log": log, "user": user})["pid"])

    def end(self, pid: int, number: int, timeout_s: float = END_S) -> int | None:
        """Send a signal, wait; the exit code, None when it did not end in time."""
        code = self._ask({"end": pid, "signal": number, "timeout_s": timeout_s}, timeout_s)["code"]
        return None if code is None else int(code)

    def read(self, path: str) -> str:
        return self.run("cat", path)

    def wait_until(
        self, what: Callable[[], object], reason: str, *, log: str = "/dev/null", patience_s: float = PATIENCE_S
    ) -> None:
        """Ask until it is true; a failure tells `reason` and the end of `log`. States an order, never a speed."""
        deadline = time.monotonic() + patience_s
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {patience_s:.0f} s in vain: {reason}\n{self.read(log)[-2000:]}")
            time.sleep(0.2)

    def _ask(self, request: dict[str, Any], timeout_s: float = 0.0) -> dict[str, Any]:
        assert self._port is not None
        self._port.sendall(json.dumps(request).encode() + b"\n")
        reply = self._receive(timeout_s + PATIENCE_S)
        assert "error" not in reply, reply["error"]
        return reply

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        assert self._port is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._received:
            self._port.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                chunk = self._port.recv(65536)
            except TimeoutError:
                chunk = b""
            assert chunk, f"the machine gave no answer in {timeout_s:.0f} s:\n{self._told()}"
            self._received += chunk
        line, self._received = self._received.split(b"\n", 1)
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _told(self) -> str:
        logs = (self._folder / "qemu.log", self.console)
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def _stop(self) -> None:
        assert self._process is not None
        assert self._port is not None
        try:
            self._port.settimeout(END_S)
            self._port.sendall(b'{"power_off": true}\n')
            self._process.wait(END_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        finally:
            self._port.close()


def _command(kernel: Path, initramfs: Path, console: Path, *, port: int, shares: dict[str, Path]) -> list[str]:
    """QEMU's command line. port: a socket's descriptor, its other end is /dev/vport* in the guest."""
    command = [*QEMU, "-kernel", str(kernel), "-initrd", str(initramfs)]
    command += ["-serial", f"file:{console}", "-chardev", f"socket,id=port,fd={port}"]
    for tag, path in shares.items():
        # Read-only. multidevs: there may be several file systems under one folder.
        command += ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,readonly=on,multidevs=remap"]
    return command


def _with_sbin() -> dict[str, str]:
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
