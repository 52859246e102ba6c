"""Down when an accelerator fails, up again when it works."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgemass.backends.ladder import MOST_HANGING, Candidate, Floor, Ladder, Sample, pause_s
from edgemass.errors import BackendError
from tests.simulators.accelerators import INPUTS, LOAD_S, RUN_S, Device, ScriptedBackend
from tests.simulators.manual_clock import ManualClock

PATIENCE_S = 10.0


class Board:
    """A CPU, accelerators in order, and the ladder over them."""

    def __init__(self, *devices: Device, cpu: bool = True, strict: bool = False) -> None:
        self.clock = ManualClock()
        self.cpu = Device("litert/xnnpack")
        floor = Floor(ScriptedBackend(self.cpu), "fp32") if cpu else None
        self.ladder = Ladder(
            [device.candidate() for device in devices],
            floor,
            sample=Sample(INPUTS),
            strict=strict,
            clock=self.clock,
            draw=lambda: 1.0,
        )

    def frame(self) -> str:
        """Run one frame; its numbers must be right whatever runs it. Returns what the message would say."""
        out = self.ladder.run(INPUTS)["out"].data
        np.testing.assert_allclose(out, INPUTS["in"] + 1)
        return self.ladder.name

    def frames_until(self, name: str) -> None:
        until(lambda: self.frame() == name)


def until(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.001)


@pytest.fixture
def npu() -> Iterator[Device]:
    device = Device()
    yield device
    device.release.set()


@pytest.fixture
def boards() -> Iterator[Callable[..., Board]]:
    made: list[Board] = []

    def make(*devices: Device, cpu: bool = True, strict: bool = False) -> Board:
        made.append(Board(*devices, cpu=cpu, strict=strict))
        return made[-1]

    yield make
    for board in made:
        board.ladder.close()


def test_the_first_candidate_that_works_runs_and_nothing_is_degraded(npu: Device, boards: Callable[..., Board]) -> None:
    board = boards(npu)
    assert (board.frame(), board.ladder.variant, board.ladder.requested) == ("litert/npu", "npu-int8", "litert/npu")
    assert board.ladder.degraded is None
    assert npu.trials == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("load", "litert/npu: no device"),
        ("trial", "litert/npu crashed in a trial run (SIGSEGV)"),
        ("run", "litert/npu: the device is gone"),
        ("wrong", "litert/npu gives wrong numbers"),
        ("elsewhere", "litert/npu was asked for, the session runs on litert/xnnpack"),
    ],
)
def test_what_fails_at_the_start_is_passed_over_with_its_reason_and_taken_when_it_works(
    npu: Device, boards: Callable[..., Board], caplog: pytest.LogCaptureFixture, fault: str, reason: str
) -> None:
    npu.fault = fault
    board = boards(npu)
    assert (board.frame(), board.ladder.variant) == ("litert/xnnpack", "fp32")
    degraded = board.ladder.degraded
    assert degraded is not None
    assert (degraded.requested, degraded.running) == ("litert/npu", "litert/xnnpack")
    assert degraded.reason.startswith(reason)
    assert degraded.since == "2026-11-22T02:00:00.000Z"
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["WARNING"]
    npu.fault = ""
    board.clock.pass_wait(30.0)
    board.frames_until("litert/npu")
    assert board.ladder.degraded is None


def test_an_accelerator_that_fails_while_running_costs_no_frame(npu: Device, boards: Callable[..., Board]) -> None:
    board = boards(npu)
    npu.fault = "run"
    assert board.frame() == "litert/xnnpack"
    degraded = board.ladder.degraded
    assert degraded is not None
    assert degraded.reason == "litert/npu: the device is gone"
    npu.fault = ""
    board.clock.pass_wait(30.0)
    board.frames_until("litert/npu")
    until(lambda: npu.closes == npu.loads - 1)


def test_a_hang_costs_one_deadline_and_the_frame_runs_on_the_cpu(npu: Device, boards: Callable[..., Board]) -> None:
    board = boards(npu)
    npu.fault = "hang"
    names: list[str] = []
    loop = threading.Thread(target=lambda: names.append(board.frame()))
    loop.start()
    board.clock.pass_wait(RUN_S)
    loop.join(PATIENCE_S)
    assert names == ["litert/xnnpack"]
    degraded = board.ladder.degraded
    assert degraded is not None
    assert degraded.reason == "litert/npu hangs: no answer to run within 3 s"
    npu.fault = ""
    npu.release.set()
    board.clock.pass_wait(30.0)
    board.frames_until("litert/npu")


def test_what_hangs_again_and_again_is_not_given_ever_more_threads(npu: Device, boards: Callable[..., Board]) -> None:
    board = boards(npu)
    npu.fault = "hang"
    loop = threading.Thread(target=board.frame)
    loop.start()
    board.clock.pass_wait(RUN_S)
    loop.join(PATIENCE_S)
    for probe, pause in enumerate((30.0, 60.0), start=1):
        board.clock.pass_wait(pause)
        waits = 2 * probe + 2  # each probe, and the start, waits for the load and for a first run
        until(lambda waits=waits: board.clock.waits.count(LOAD_S) == waits)  # type: ignore[misc]
        board.clock.pass_wait(LOAD_S)
    for pause in (120.0, 240.0):
        board.clock.pass_wait(pause)
    until(lambda: 480.0 in board.clock.waits)
    assert npu.loads == MOST_HANGING
    degraded = board.ladder.degraded
    assert degraded is not None
    assert degraded.reason == "litert/npu hangs: 3 calls have not come back"


def test_the_frame_loop_never_waits_for_a_load(npu: Device, boards: Callable[..., Board]) -> None:
    board = boards(npu)
    npu.fault = "run"
    board.frame()
    npu.fault = "hang-load"
    board.clock.pass_wait(30.0)
    until(lambda: npu.loads == 2)
    assert [board.frame() for _ in range(50)] == ["litert/xnnpack"] * 50
    npu.fault = ""
    npu.release.set()
    board.frames_until("litert/npu")


def test_pauses_grow_while_it_fails_and_start_anew_after_a_good_hour(npu: Device, boards: Callable[..., Board]) -> None:
    npu.fault = "load"
    board = boards(npu)
    for pause in (30.0, 60.0, 120.0):
        board.clock.pass_wait(pause)
    until(lambda: 240.0 in board.clock.waits)
    npu.fault = ""
    board.clock.pass_wait(240.0)
    board.frames_until("litert/npu")
    npu.fault = "run"
    board.frame()
    board.clock.pass_wait(480.0)
    until(lambda: 960.0 in board.clock.waits)
    npu.fault = ""
    board.clock.pass_wait(960.0)
    board.frames_until("litert/npu")
    board.clock.advance(3600)
    npu.fault = "run"
    board.frame()
    board.clock.pass_wait(30.0)


def test_the_next_in_order_is_taken_behind_the_frames_when_the_first_fails(
    npu: Device, boards: Callable[..., Board]
) -> None:
    gpu = Device("onnxruntime/cuda")
    board = boards(npu, gpu)
    assert gpu.loads == 0
    npu.fault = "run"
    assert board.frame() == "litert/xnnpack"
    board.frames_until("onnxruntime/cuda")
    degraded = board.ladder.degraded
    assert degraded is not None
    assert (degraded.running, degraded.reason) == ("onnxruntime/cuda", "litert/npu: the device is gone")
    npu.fault = ""
    board.clock.pass_wait(30.0)
    board.frames_until("litert/npu")
    until(lambda: gpu.closes == 1)


def test_strict_refuses_at_the_start(npu: Device) -> None:
    npu.fault = "load"
    with pytest.raises(BackendError, match=r"^litert/npu: no device; leave out --strict"):
        Board(npu, strict=True)


def test_strict_ends_the_run_at_a_failure_and_never_runs_on_something_else(
    npu: Device, boards: Callable[..., Board]
) -> None:
    board = boards(npu, strict=True)
    npu.fault = "run"
    for _ in range(3):
        with pytest.raises(BackendError, match="the device is gone; --strict allows nothing else"):
            board.frame()
        npu.fault = ""


def test_without_a_cpu_the_failure_is_the_callers(npu: Device, boards: Callable[..., Board]) -> None:
    board = boards(npu, cpu=False)
    assert board.frame() == "litert/npu"
    npu.fault = "run"
    with pytest.raises(BackendError, match="there is nothing else to run the model on"):
        board.frame()


def test_a_candidate_with_other_tensors_is_not_taken(npu: Device) -> None:
    class Other(ScriptedBackend):
        def __init__(self, device: Device) -> None:
            super().__init__(device)
            self.inputs = self.inputs * 2

    candidate = Candidate("litert/npu", "v", lambda: Other(npu), lambda _: None, 60.0, RUN_S)
    floor = Floor(ScriptedBackend(Device("litert/xnnpack")), "fp32")
    ladder = Ladder([candidate], floor, sample=Sample(INPUTS), strict=False, clock=ManualClock())
    assert ladder.degraded is not None
    assert "other inputs than the CPU" in ladder.degraded.reason
    ladder.close()


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_pauses_lie_between_half_a_minute_and_an_hour_and_spread(draw: float) -> None:
    pauses = [pause_s(failures, draw) for failures in range(1, 40)]
    assert pauses == sorted(pauses)
    assert (pauses[0], min(pauses), max(pauses) <= 3600) == (30.0, 30.0, True)
    assert pauses[-1] == pytest.approx(3600 * (2 + draw) / 3)
