"""The board of a soak: a real agent in a process of its own, whose time runs faster and whose parts fail.

    python -m tests.simulators.soak_board ORDER

ORDER: JSON of `Order`. One line of JSON (`Look`) a tenth of a second goes to standard output, and the last one when
the agent has ended. SIGTERM ends it as a service manager would; time runs at its usual speed from then on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import msgspec
import numpy as np

from edgemass import backends, sources
from edgemass.agent import Agent
from edgemass.agent.camera_health import DROPS
from edgemass.backends import trial
from edgemass.cli import signals
from edgemass.cli.logs import set_up_logging
from edgemass.config import Config, camera_config
from edgemass.config.delivery import DeliveryConfig
from edgemass.errors import BackendError, SourceError
from edgemass.frame import Frame, Image
from tests.simulators import soak_faults
from tests.simulators.soak_faults import Fault

DEVICE, CAMERA = "pi", "yard"
FPS = 5.0
SIDE = 64
CYCLE_S, SEEN_S = 60.0, 25.0
"""Things are to be seen for so long in every cycle."""
YEARS_S = 50 * 365.25 * 86_400
READ_TIMEOUT_S = 20.0
"""A quarter of a second on the machine, which may be busy."""
LOOK_S = 0.1
END_S = 10.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """seed, hours, gap_s: as `soak_faults.schedule`. speed: seconds of the board in one. began_ns: monotonic, when the
    board's time began. model: folder of a bundle. url: of the broker. state: folder.
    """

    seed: int
    hours: float
    gap_s: float
    speed: float
    began_ns: int
    model: str
    url: str
    state: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """at_s: the board's time since it began. counters: of the camera. backend: that runs. threads: by name, at the end
    those that are left over. code: with which the agent ended, None while it runs.
    """

    at_s: float
    captured: int
    processed: int
    dropped: dict[str, int]
    backend: str = ""
    threads: list[str] = []
    code: int | None = None

    @property
    def unaccounted(self) -> int:
        """Frames that were captured and are neither processed nor dropped: those that are on their way."""
        return self.captured - self.processed - sum(self.dropped.values())


@final
class FastClock:
    """Runs faster than the machine's own. Unix time is where the faults of the clock have put it."""

    def __init__(self, order: Order, faults: list[Fault]) -> None:
        self._began_ns = order.began_ns
        self._since = (order.began_ns, order.began_ns, order.speed)
        """The board's time and the machine's at one instant, and the speed from then on."""
        self._unix_ns = time.time_ns()
        self._faults = [fault for fault in faults if fault.what == "clock"]

    def usual_speed(self) -> None:
        """From now on; for one thread."""
        self._since = (self.monotonic_ns(), time.monotonic_ns(), 1.0)

    @property
    def at_s(self) -> float:
        return (self.monotonic_ns() - self._began_ns) / 1e9

    def monotonic_ns(self) -> int:
        mono_ns, real_ns, speed = self._since
        return mono_ns + round((time.monotonic_ns() - real_ns) * speed)

    def time_ns(self) -> int:
        mono_ns = self.monotonic_ns()
        at_s = (mono_ns - self._began_ns) / 1e9
        fault = soak_faults.now(self._faults, "clock", at_s)
        off_s = 0.0
        if fault is not None:
            off_s = {"future": YEARS_S, "past": -YEARS_S, "seconds": fault.size * 240 - 120}[fault.kind]
        return self._unix_ns + mono_ns - self._began_ns + round(off_s * 1e9)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s / self._since[2])


@final
class SoakCamera:
    """A live source: noise, and now and then a bright thing in it, which the model sees."""

    live = realtime = True
    name = "soak:"
    read_timeout_s = READ_TIMEOUT_S

    def __init__(self, clock: FastClock, faults: list[Fault]) -> None:
        self._clock = clock
        self._faults = [fault for fault in faults if fault.what == "camera"]
        self._closed = threading.Event()
        self._hung: set[float] = set()
        draw = np.random.default_rng(1)
        self._empty = [draw.integers(0, 60, (SIDE, SIDE, 3), np.uint8) for _ in range(8)]
        self._full = [picture.copy() for picture in self._empty]
        for picture in self._full:
            picture[20:30, 20:30] = 255
        self._black = np.zeros((SIDE, SIDE, 3), np.uint8)

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        due_ns, number = self._clock.monotonic_ns(), 0
        while not self._closed.is_set():
            fault = soak_faults.now(self._faults, "camera", self._clock.at_s)
            kind = fault.kind if fault is not None else ""
            if kind == "broken":
                raise SourceError("soak: is away")
            if fault is not None and kind == "hanging" and fault.at_s not in self._hung:
                self._hung.add(fault.at_s)  # the next opening is well
                self._clock.wait(self._closed, fault.ends_s - self._clock.at_s)
            now_ns = self._clock.monotonic_ns()
            number += 1
            yield frame(self._picture(kind, number), now_ns, self._clock.time_ns())
            due_ns = max(due_ns + round(1e9 / FPS), self._clock.monotonic_ns() - round(1e9 / FPS))
            self._clock.wait(self._closed, max(0, due_ns - self._clock.monotonic_ns()) / 1e9)

    def _picture(self, kind: str, number: int) -> Image:
        if kind == "black":
            return self._black
        some = self._full if self._clock.at_s % CYCLE_S < SEEN_S else self._empty
        return some[0 if kind == "still" else number % len(some)]


def frame(picture: Image, mono_ns: int, time_ns: int) -> Frame:
    return Frame(lambda: picture, width=SIDE, height=SIDE, mono_ns=mono_ns, time_ns=time_ns, arrived_ns=mono_ns)


@final
class Accelerator:
    """The CPU under another name, which fails as its faults say."""

    def __init__(self, backend: Any, provider: str, clock: FastClock, faults: list[Fault]) -> None:
        self._backend, self._clock, self._faults = backend, clock, faults
        self.name = self.requested = f"{backend.name.partition('/')[0]}/{provider}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def run(self, inputs: Mapping[str, Any]) -> Any:
        fault = soak_faults.now(self._faults, "accelerator", self._clock.at_s)
        kind = fault.kind if fault is not None else ""
        if kind == "failing":
            raise BackendError(f"{self.name} fails")
        if fault is not None and kind == "hanging":
            self._clock.wait(threading.Event(), fault.ends_s - self._clock.at_s)
        found = self._backend.run(inputs)
        if kind != "wrong":
            return found
        return {name: dataclasses.replace(tensor, data=tensor.data + 1) for name, tensor in found.items()}


def put_in(clock: FastClock, faults: list[Fault]) -> None:
    """The camera among the sources, and an accelerator into ONNX Runtime."""
    real = backends.load("onnx")

    class Runtime:
        @staticmethod
        def open(model: Path, options: backends.Options) -> Any:
            plain = msgspec.structs.replace(options, provider=None, provider_options={})
            opened = real.open(model, plain)
            return opened if options.provider is None else Accelerator(opened, options.provider, clock, faults)

        @staticmethod
        def offers(_: str) -> bool:
            return True

    class Camera:
        @staticmethod
        def open(*_: object) -> SoakCamera:
            return SoakCamera(clock, faults)

    backends.load = lambda _: Runtime()  # type: ignore[assignment]
    trial.try_out = lambda *_, **__: None
    sys.modules["tests.simulators.soak_camera"] = Camera  # type: ignore[assignment]
    sources.SOURCES["soak"] = "tests.simulators.soak_camera"


def configured(order: Order) -> Config:
    camera = {"source": "soak:", "events": {"update_s": 10.0, "snapshots": "none"}, "score": 0.5}
    return Config(
        cameras={CAMERA: camera_config(camera, CAMERA)},
        device=DEVICE,
        model=order.model,
        sinks=(order.url,),
        backend="onnx:openvino",
        threads=1,
        tune=False,
        state=order.state,
        runtime=f"{order.state}/run",
        delivery=DeliveryConfig(max_bytes=1 << 20, memory_bytes=1 << 18, rate=1000.0),
    )


@final
class Reporter:
    """Tells how the agent does, in a thread of its own."""

    def __init__(self, agent: Agent, clock: FastClock) -> None:
        self._agent, self._clock = agent, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, code: int) -> None:
        self._over.set()
        self._thread.join()
        deadline = time.monotonic() + END_S
        while (left := others()) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        self._tell(left, code)

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            with contextlib.suppress(AttributeError, ValueError):  # it is not wired yet
                self._tell(others(), None)

    def _tell(self, threads: list[str], code: int | None) -> None:
        cameras, slot = self._agent._cameras, self._agent._slot  # nothing else tells at any instant
        [counters] = cameras.counters()
        totals = counters.snapshot()
        look = Look(
            at_s=self._clock.at_s,
            captured=totals.get("frames_captured", 0),
            processed=totals.get("frames_processed", 0),
            dropped={cause: totals.get(counter, 0) for counter, cause in DROPS.items()},
            backend=slot.running.detector.backend.name if code is None else "",
            threads=threads,
            code=code,
        )
        sys.stdout.buffer.write(msgspec.json.encode(look) + b"\n")
        sys.stdout.buffer.flush()


def others() -> list[str]:
    """Threads beside this one, the main one, the reporter's, and that of the process's signals."""
    ours = (threading.current_thread(), threading.main_thread())
    names = [thread.name for thread in threading.enumerate() if thread not in ours]
    return sorted(name for name in names if name not in ("reporter", "signals"))


def main() -> int:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    set_up_logging(verbose=False)
    faults = soak_faults.schedule(order.seed, order.hours, gap_s=order.gap_s)
    clock = FastClock(order, faults)
    put_in(clock, faults)
    stop = threading.Event()

    def end() -> None:
        clock.usual_speed()
        stop.set()

    signals.answer({signal.SIGTERM: end})
    agent = Agent(configured(order), clock)
    reporter = Reporter(agent, clock)
    reporter.start()
    code = agent.run(stop)
    reporter.end(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
