"""A process that has events to tell: python -m tests.simulators.event_source URL STATE RATE SETTLE_S.

It opens an MQTT sink as an agent does and gives it RATE events a second of two cameras until SIGTERM, after which it
closes the sink and ends. On standard output: "RUN_ID CAMERA SEQ" for every event, when the sink has it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import final

import msgspec

from edgemass import sinks
from edgemass.clock import SystemClock, boot_id, rfc3339
from edgemass.config.delivery import DeliveryConfig
from edgemass.counters import Counters
from edgemass.sinks import SinkContext
from tests.documents import event

DEVICE = "pi-7f3a"
CAMERAS = ("door", "yard")
CLOSE_S = 20.0


def main(url: str, state: str, rate: str, settle_s: str) -> None:
    clock = SystemClock()
    config = DeliveryConfig(rate=2000.0, settle_s=float(settle_s))
    sink = sinks.open(url, SinkContext(DEVICE, clock, Counters(), state=Path(state), delivery=config))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_id, boot = uuid.uuid4().hex, boot_id()
    number = 0
    while not stop.wait(1 / float(rate)):
        camera, seq = CAMERAS[number % 2], number // 2 + 1
        number += 1
        made = msgspec.structs.replace(
            event(seq, camera=camera, run_id=run_id),
            boot_id=boot,
            mono_ns=clock.monotonic_ns(),
            time=rfc3339(clock.time_ns()),
        )
        sink.event(made, None)
        print(run_id, camera, seq, flush=True)
    sink.close(CLOSE_S)


@final
class EventSource:
    """The process, as a test holds it. state: folder that it keeps its queue in. rate: events a second.

    settle_s: what subscribers get after an outage; those of the tests come back after a second.
    """

    def __init__(self, url: str, state: Path, out: Path, *, rate: float = 200.0, settle_s: float = 2.0) -> None:
        module = "tests.simulators.event_source"
        self._command = [sys.executable, "-m", module, url, str(state), str(rate), str(settle_s)]
        self._out = out
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> EventSource:
        with self._out.open("wb") as out, self._out.with_suffix(".err").open("wb") as err:
            self._process = subprocess.Popen(self._command, stdout=out, stderr=err)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.kill()

    @property
    def told(self) -> list[tuple[str, str, int]]:
        """Run, camera and seq of every event that the sink has."""
        lines = self._out.read_text(encoding="ascii").split("\n")[:-1]
        return [(run_id, camera, int(seq)) for run_id, camera, seq in (line.split() for line in lines)]

    @property
    def err(self) -> str:
        return self._out.with_suffix(".err").read_text(encoding="utf-8")

    def freeze(self) -> None:
        """From now on it does nothing, and its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """As a service manager does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(CLOSE_S + 20)


if __name__ == "__main__":
    main(*sys.argv[1:])
