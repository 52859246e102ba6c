"""What dies again and again soon after its start is run without."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from edgemass.agent.crash_loop import (
    FILE,
    IDLE_S,
    MOST_CRASHES,
    WELL_S,
    CrashLoop,
    Step,
    on_the_cpu,
    steps,
    what_runs,
    without,
)
from edgemass.agent.starting import DEFAULT_MODEL
from edgemass.backends import choice
from edgemass.config import Config
from tests.simulators.manual_clock import ManualClock

NS = 1_000_000_000
WAYS = steps(accelerated=True, other_model=True)
BOOT, NEXT_BOOT = "boot 1", "boot 2"


def start(folder: Path, *, subject: str = "yolo on npu", boot: str = BOOT) -> CrashLoop:
    """A process that was started and has not ended yet, as far as the disk knows."""
    loop = CrashLoop(folder, ManualClock())
    loop.begin(subject, WAYS, boot)
    return loop


def crash(folder: Path, times: int, *, boot: str = BOOT) -> None:
    for _ in range(times):
        start(folder, boot=boot)


def test_first_the_accelerator_is_left_out_and_then_the_model(tmp_path: Path) -> None:
    taken = [start(tmp_path).step for _ in range(3 * MOST_CRASHES + 2)]
    assert taken == [WAYS[0]] * MOST_CRASHES + [WAYS[1]] * MOST_CRASHES + [WAYS[2]] * (MOST_CRASHES + 2)
    assert [(step.accelerator, step.model) for step in WAYS] == [(False, False), (True, False), (True, True)]


def test_it_is_said_at_once_and_at_every_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crash(tmp_path, MOST_CRASHES)
    assert not caplog.records
    assert start(tmp_path).problem.startswith("the model runs plainly on the CPU")
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    start(tmp_path)
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]


@pytest.mark.parametrize(("frames", "seconds", "forgiven"), [(1, WELL_S, True), (1, WELL_S - 1, False)])
def test_a_start_went_well_after_a_minute_of_frames(
    frames: int, seconds: float, forgiven: bool, tmp_path: Path
) -> None:
    crash(tmp_path, MOST_CRASHES - 1)
    loop = start(tmp_path)
    loop.look(0, 0)
    loop.look(frames, 100 * NS)
    loop.look(frames + 500, round((100 + seconds) * NS))
    assert bool(start(tmp_path).step.reason) is not forgiven


def test_a_start_without_frames_went_well_after_ten_minutes(tmp_path: Path) -> None:
    crash(tmp_path, MOST_CRASHES - 1)
    loop = start(tmp_path)
    loop.look(0, 0)
    loop.look(0, round(IDLE_S * NS))
    assert not start(tmp_path).step.reason


def test_what_was_left_out_stays_out_after_it_went_well(tmp_path: Path) -> None:
    crash(tmp_path, MOST_CRASHES)
    start(tmp_path).forgive()
    assert start(tmp_path).step == WAYS[1]


def test_a_new_boot_and_another_thing_to_run_try_everything_again(tmp_path: Path) -> None:
    crash(tmp_path, MOST_CRASHES + 1)
    assert start(tmp_path, boot=NEXT_BOOT).step == WAYS[0]
    crash(tmp_path, MOST_CRASHES + 1, boot=NEXT_BOOT)
    assert start(tmp_path, subject="other", boot=NEXT_BOOT).step == WAYS[0]


def test_a_crash_that_takes_the_board_down_with_it_counts(tmp_path: Path) -> None:
    for number in range(MOST_CRASHES):
        start(tmp_path, boot=f"boot {number}")
    assert start(tmp_path, boot="the last").step == WAYS[1]


def test_ends_that_are_no_fault_of_the_model_do_not_count(tmp_path: Path) -> None:
    for _ in range(2 * MOST_CRASHES):
        with start(tmp_path) as loop:
            loop.well = True
    for _ in range(2 * MOST_CRASHES):
        with pytest.raises(KeyboardInterrupt), start(tmp_path):
            raise KeyboardInterrupt
    assert not start(tmp_path).step.reason


def test_an_end_by_an_error_counts(tmp_path: Path) -> None:
    for _ in range(MOST_CRASHES):
        with pytest.raises(RuntimeError), start(tmp_path):
            raise RuntimeError
    assert start(tmp_path).step == WAYS[1]


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\0" * 40, b'{"open": "many"}', b"[]", b'{"subject": "\xff"}', b'{"x": ' + b"[" * 100_000),
        b'{"subject": "yolo on npu", "boot_id": "boot 1", "open": 1, "step": -9}',
        b'{"subject": "yolo on npu", "boot_id": "boot 1", "open": -9, "step": 0}',
    ],
    ids=range(8),
)
def test_a_damaged_file_is_begun_anew(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert start(tmp_path).step == WAYS[0]
    crash(tmp_path, MOST_CRASHES - 1)
    assert start(tmp_path).step == WAYS[1]


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    for _ in range(MOST_CRASHES + 1):
        with start(tmp_path / "state") as loop:
            assert loop.step == WAYS[0]
            loop.forgive()


def test_without_a_service_manager_nothing_is_counted(tmp_path: Path) -> None:
    with CrashLoop(None, ManualClock()) as loop:
        loop.begin("x", WAYS)
        loop.look(1, 0)
        loop.well = True
    assert loop.step == Step()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("backend", "plain"),
    [
        (("tflite:/lib/libnpu.so?mode=fast", "tflite:edgetpu"), ("tflite:cpu",)),
        ("onnx:tensorrt,cuda", ("onnx:cpu",)),
        (None, ("onnx:cpu", "tflite:cpu")),
    ],
)
def test_on_the_cpu_no_accelerator_is_asked_for(backend: str | tuple[str, ...] | None, plain: tuple[str, ...]) -> None:
    config = on_the_cpu(Config(cameras={}, backend=backend, strict=True))
    assert config.backend == plain
    assert not any(one.accelerated for one in choice.parse(plain))
    assert not config.strict
    assert not config.tune


def test_a_board_that_runs_what_it_came_with_has_nothing_to_leave_out() -> None:
    config = Config(cameras={}, threads=2)
    assert what_runs(config, None, "main")[1] == (Step(),)
    assert len(what_runs(Config(cameras={}, model="my.onnx", backend="onnx:cuda"), None, "main")[1]) == 3


def test_the_configured_model_gives_way_to_the_one_that_comes_with_edgemass() -> None:
    config, avoid = without(Step(model=True), Config(cameras={}, model="my.onnx", variant="int8"), None, "main")
    assert (config.model, config.variant, avoid) == (None, None, "")
    assert DEFAULT_MODEL != "my.onnx"
