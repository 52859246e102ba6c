"""What is around the board of a soak: it starts it, hits it from outside as the seed says, and looks at it."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import final

import msgspec

from edgemass.spool.stream import Verdict
from tests.simulators import soak_faults, timed_detectors
from tests.simulators.soak_board import END_S, FPS, Look, Order
from tests.simulators.soak_broker import SoakBroker
from tests.simulators.soak_faults import HOUR_S, INSIDE, Fault

DISK_BYTES = 3 << 20
STEP_S = 0.02
PAUSE_S = 60.0
"""No frame for so long, with the machine's own time, is a hang."""
DRAIN_S = 120.0
TOLD = 2000


@final
class Disk:
    """Where the state lies: a small file system of its own for root, else a folder that is only made to refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = False
        self._filler = folder / "filler"

    @contextlib.contextmanager
    def mounted(self) -> Iterator[None]:
        self.folder.mkdir()
        self.own = os.geteuid() == 0 and _mount(self.folder, f"size={DISK_BYTES}")
        try:
            yield
        finally:
            if self.own:
                _unmount(self.folder)

    def hit(self, fault: Fault, pid: int) -> Callable[[], None]:
        """Returns what mends it."""
        if fault.kind == "full" and self.own:
            _fill(self._filler)
            return lambda: self._filler.unlink(missing_ok=True)
        if fault.kind == "gone" and self.own and _mount(self.folder, "ro,size=4k"):
            return partial(_unmount, self.folder)
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        _let_grow(pid, 0, hard)
        return partial(_let_grow, pid, hard, hard)


def _mount(folder: Path, options: str) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _let_grow(pid: int, most: int, hard: int) -> None:
    """Files of a process to this size."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@dataclass
class Soak:
    """What came of a run. looks: at the board, one a tenth of a second. rss: board's time -> bytes. said: its log.

    hit: faults that were inflicted from outside. verdict: of the subscriber on the events.
    """

    order: Order
    looks: list[Look] = field(default_factory=list)
    rss: list[tuple[float, int]] = field(default_factory=list)
    said: deque[str] = field(default_factory=lambda: deque(maxlen=TOLD))
    hit: list[Fault] = field(default_factory=list)
    verdict: Verdict | None = None
    code: int | None = None

    @property
    def last(self) -> Look:
        return self.looks[-1]


@final
class World:
    """One run. frames: it lasts until so many were captured, and all faults are over."""

    def __init__(self, folder: Path, *, seed: int, hours: float, gap_s: float, speed: float) -> None:
        self._folder = folder
        self._disk = Disk(folder / "disk")
        bundle = timed_detectors.write(folder / "model", {"stock": {}})
        assert bundle.folder is not None
        self._order = Order(
            seed=seed,
            hours=hours,
            gap_s=gap_s,
            speed=speed,
            began_ns=0,
            model=str(bundle.folder),
            url="",
            state=str(self._disk.folder / "state"),
        )
        self._frames = round(hours * HOUR_S * FPS)
        self._faults = deque(
            fault for fault in soak_faults.schedule(seed, hours, gap_s=gap_s) if fault.what not in INSIDE
        )
        self._mending: list[tuple[float, Callable[[], None]]] = []

    def run(self) -> Soak:
        with self._disk.mounted(), SoakBroker(self._folder / "broker") as broker:
            order = msgspec.structs.replace(self._order, url=broker.url, began_ns=time.monotonic_ns())
            soak = Soak(order)
            process = self._spawn(order)
            readers = [
                threading.Thread(target=_read_looks, args=(process, soak), daemon=True),
                threading.Thread(target=_read_log, args=(process, soak), daemon=True),
            ]
            for reader in readers:
                reader.start()
            try:
                self._watch(process, soak, broker)
                self._drain(process, soak, broker)
                process.send_signal(signal.SIGTERM)
                soak.code = process.wait(END_S * 6)
                for reader in readers:
                    reader.join(END_S)
                _until(lambda: all(run.state == "final" for run in broker.verdict().runs), END_S)
                soak.verdict = broker.verdict()
            finally:
                with contextlib.suppress(OSError):  # the process may be gone
                    self._mend(math.inf)
                if process.poll() is None:
                    process.kill()
                    process.wait()
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()
            return soak

    def _spawn(self, order: Order) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.simulators.soak_board", msgspec.json.encode(order).decode()]
        environment = {**os.environ, "EDGEMASS_CACHE": str(self._folder / "cache")}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)

    def _watch(self, process: subprocess.Popen[bytes], soak: Soak, broker: SoakBroker) -> None:
        """Until it has seen all its frames and faults.

        Raises:
            AssertionError: it ended by itself, or hangs.
        """
        moved, captured = time.monotonic(), 0
        while captured < self._frames or self._faults or self._mending:
            time.sleep(STEP_S)
            _alive(process, soak)
            at_s = (time.monotonic_ns() - soak.order.began_ns) * soak.order.speed / 1e9
            self._mend(at_s)
            while self._faults and self._faults[0].at_s <= at_s:
                self._hit(self._faults.popleft(), process, soak, broker)
            if soak.looks and soak.last.captured != captured:
                moved, captured = time.monotonic(), soak.last.captured
            if time.monotonic() - moved > PAUSE_S:
                raise AssertionError(f"no frame for {PAUSE_S:.0f} s: {soak.looks[-1:]}\n" + "\n".join(soak.said))
            _note_rss(process, soak, at_s)

    def _hit(self, fault: Fault, process: subprocess.Popen[bytes], soak: Soak, broker: SoakBroker) -> None:
        if fault.what == "disk":
            mend = self._disk.hit(fault, process.pid)
        elif fault.kind == "cut":
            broker.cut()
            mend = _nothing
        elif fault.kind == "frozen":
            broker.freeze()
            mend = broker.thaw
        else:
            broker.kill()
            mend = broker.start
        soak.hit.append(fault)
        self._mending.append((fault.ends_s, mend))

    def _mend(self, at_s: float) -> None:
        for entry in [entry for entry in self._mending if entry[0] <= at_s]:
            self._mending.remove(entry)
            entry[1]()

    def _drain(self, process: subprocess.Popen[bytes], soak: Soak, broker: SoakBroker) -> None:
        """Wait until nothing is left of what waited through the last outage."""

        def drained() -> bool:
            _alive(process, soak)
            return broker.account.produced > 0 and broker.account.queued < 64

        if not _until(drained, DRAIN_S):
            raise AssertionError(f"events still wait: {broker.account}\n" + "\n".join(soak.said))


def _nothing() -> None:
    return


def _alive(process: subprocess.Popen[bytes], soak: Soak) -> None:
    if process.poll() is not None:
        raise AssertionError(f"the board ended by itself with {process.returncode}:\n" + "\n".join(soak.said))


def _until(done: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(STEP_S)
    return True


def _note_rss(process: subprocess.Popen[bytes], soak: Soak, at_s: float) -> None:
    """Once for every two seconds of the machine's time."""
    if soak.rss and at_s - soak.rss[-1][0] < 2 * soak.order.speed:
        return
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    soak.rss.append((at_s, pages * resource.getpagesize()))


def _read_looks(process: subprocess.Popen[bytes], soak: Soak) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        soak.looks.append(msgspec.json.decode(line, type=Look))


def _read_log(process: subprocess.Popen[bytes], soak: Soak) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        soak.said.append(line.decode(errors="replace").rstrip())
