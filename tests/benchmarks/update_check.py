"""What it costs a board to ask for news: bytes on the wire and processor time, where there is none.

    python tests/benchmarks/update_check.py

Serves the metadata by `edgemass registry serve` and counts at a proxy what goes through the connection, both ways,
headers included. The processor time is that of Trust() and refresh() in a process that has done it before.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from edgemass.clock import SystemClock
from edgemass.registry.transport import Transport
from edgemass.registry.trust import Trust

CHECKS = 50
PERSON = Path(__file__).resolve().parents[2] / "models" / "edgemass-person"


class Meter:
    """A proxy in front of a port that counts bytes each way."""

    def __init__(self, port: int) -> None:
        self.asked = self.answered = 0
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            far = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pump, args=(near, far, "asked"), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, "answered"), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, which: str) -> None:
        with contextlib.suppress(OSError):  # the other way has ended
            while data := source.recv(65536):
                setattr(self, which, getattr(self, which) + len(data))
                target.sendall(data)
        target.close()


def edgemass(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "edgemass", *arguments], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "models")
        edgemass("model", "push", str(PERSON), str(folder))
        edgemass("trust", "init", str(folder))
        edgemass("trust", "sign", str(folder), str(PERSON))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "edgemass", "registry", "serve", str(folder), "--listen", f"127.0.0.1:{port}"],
            stdout=subprocess.PIPE,
        )
        try:
            assert server.stdout is not None
            server.stdout.readline()
            time.sleep(1)
            measure(Path(name), folder, Meter(port))
        finally:
            server.terminate()
            server.wait()


def measure(work: Path, folder: Path, meter: Meter) -> None:
    root = (folder / "trust" / "1.root.json").read_bytes()
    mirror = f"http://127.0.0.1:{meter.port}/trust/"

    def check() -> tuple[float, float]:
        began, cpu = time.perf_counter(), time.thread_time()
        Trust(work / "device", root, mirror, Transport(), SystemClock()).refresh()
        return (time.thread_time() - cpu) * 1e3, (time.perf_counter() - began) * 1e3

    check()  # the first one fetches everything
    asked, answered = meter.asked, meter.answered
    print(f"first check: {answered} bytes received, {asked} sent")
    times = [check() for _ in range(CHECKS)]
    received, sent = (meter.answered - answered) / CHECKS, (meter.asked - asked) / CHECKS
    cpu = sorted(item[0] for item in times)
    print(f"a check without news: {received:.0f} bytes received, {sent:.0f} sent, headers included")
    print(f"processor time: median {statistics.median(cpu):.1f} ms, largest of {CHECKS} {cpu[-1]:.1f} ms")


if __name__ == "__main__":
    main()
