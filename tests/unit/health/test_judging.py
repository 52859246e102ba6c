from __future__ import annotations

import msgspec
import pytest

from edgemass.health import problems
from edgemass.health.judging import healthy, is_old, is_ready, percentiles, quality
from edgemass.messages.health import (
    CameraHealth,
    ClockReading,
    Cpu,
    Disk,
    GovernorHealth,
    Memory,
    ModelHealth,
    OutputHealth,
    Percentiles,
    QueueHealth,
    System,
    Temperature,
    Throttling,
)
from tests.documents import health_message

GIB = 1 << 30


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentiles([]) is None
    assert percentiles([7.0]) == Percentiles(7.0, 7.0, 7.0)
    assert percentiles(float(value) for value in range(100, 0, -1)) == Percentiles(50.0, 95.0, 99.0)


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, "excellent"),
        ({"usual_fps": None, "fps": 3.0}, "excellent"),
        ({"reconnects": 1}, "fair"),
        ({"stalls": 2}, "fair"),
        ({"fps": 8.0}, "fair"),
        ({"reconnects": 6}, "poor"),
        ({"fps": 5.0}, "poor"),
        ({"reconnects": 21}, "unusable"),
        ({"fps": 2.0}, "unusable"),
        ({"online": False}, "unusable"),
    ],
)
def test_the_quality_of_a_connection_follows_its_rate_and_its_breaks(facts: dict[str, object], wanted: str) -> None:
    well = {"online": True, "fps": 10.0, "usual_fps": 10.0, "reconnects": 0, "stalls": 0}
    assert quality(**{**well, **facts}) == wanted  # type: ignore[arg-type]


def test_a_device_is_ready_when_every_wanted_camera_gives_frames_to_a_model() -> None:
    good = CameraHealth(state="online", frames_processed=1)
    assert is_ready(
        {"a": good, "b": CameraHealth(state="disabled"), "c": CameraHealth(state="blind", frames_processed=5)}
    )
    assert not is_ready({})
    assert not is_ready({"a": good, "b": CameraHealth(state="offline", frames_processed=9)})
    assert not is_ready({"a": CameraHealth(state="online")})


def test_a_daemon_is_healthy_while_its_loop_comes_by() -> None:
    message = health_message()
    assert healthy(message, 1.0)
    assert not healthy(message, 31.0)
    assert not healthy(None, 0.0)
    assert not is_old(message, 95.0)
    assert is_old(message, 105.0)


WELL = System(
    temperature=Temperature(60.0, {"cpu": 60.0}, 80.0),
    throttling=Throttling(throttled=False, undervoltage=False, throttled_before=True, undervoltage_before=True),
    cpu=Cpu(4, 1.0, 1.0, 9.0),
    memory=Memory(GIB, GIB // 2, 1 << 27, 1000.0),
    disk=Disk(GIB, GIB // 2, 5, 5, 10),
    clock=ClockReading(synced=True, source="chrony"),
)


def test_a_board_that_is_well_has_no_problems() -> None:
    assert list(problems.of_system(WELL)) == []
    assert list(problems.of_system(System())) == []


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        (
            {"throttling": Throttling(throttled=False, undervoltage=True)},
            "undervoltage: use the board's own power supply",
        ),
        (
            {"throttling": Throttling(throttled=True, undervoltage=False, causes=("the clock is capped",))},
            "the board slows itself down (the clock is capped): give it",
        ),
        ({"temperature": Temperature(81.0, {"cpu": 81.0}, 80.0)}, "81 °C: the board will slow down"),
        ({"memory": Memory(GIB, 1 << 20, 1 << 27)}, "1 MiB of memory left: end other programs"),
        (
            {"memory": Memory(GIB, GIB // 2, 1 << 27, 50.0 * (1 << 20))},
            "the memory of edgemass grows by 50 MiB an hour",
        ),
        ({"disk": Disk(GIB, GIB // 2, 5, read_only=True)}, "the disk is read-only"),
        ({"disk": Disk(GIB, 1 << 20, 5)}, "1 MiB left on the disk"),
        ({"disk": Disk(GIB, GIB // 2, 5, 11 << 20, 10 << 20)}, "11 MiB written in 24 hours, the budget of a day is"),
        ({"disk": Disk(GIB, GIB // 2, 11 << 20, 11 << 20, 10 << 20)}, "11 MiB written since the start, the budget of"),
        ({"clock": ClockReading(synced=False)}, "the clock is not synchronised"),
    ],
)
def test_what_is_wrong_with_a_board_is_said_with_what_to_do(changes: dict[str, object], begins: str) -> None:
    (found,) = problems.of_system(msgspec.structs.replace(WELL, **changes))
    assert found.startswith(begins)


def test_a_problem_that_lasts_is_one_whatever_its_numbers_do() -> None:
    def kinds(**changes: object) -> set[str]:
        return {problems.kind(text) for text in problems.of_system(msgspec.structs.replace(WELL, **changes))}

    assert kinds(temperature=Temperature(81.0, {}, 80.0)) == kinds(temperature=Temperature(85.6, {}, 80.0))
    assert kinds(disk=Disk(GIB, 1 << 20, 5)) == kinds(disk=Disk(GIB, 1 << 12, 5))
    assert kinds(memory=Memory(GIB, 1 << 20, 1)) != kinds(disk=Disk(GIB, 1 << 12, 5))


def test_cameras_models_outputs_and_queues_say_what_is_wrong_with_them() -> None:
    assert list(problems.of_camera("door", CameraHealth(state="offline", reason="no answer"))) == [
        "camera door is offline: no answer"
    ]
    assert list(problems.of_camera("door", CameraHealth(state="disabled", reason="asked"))) == []
    assert list(problems.of_camera("door", CameraHealth(state="ended", reason="the file ended"))) == []
    assert "is unusable" in next(problems.of_camera("door", CameraHealth(state="online", quality="unusable")))
    assert list(problems.of_camera("door", CameraHealth(state="online", quality="poor"))) == []
    model = ModelHealth(
        name="m", version="1", digest="", variant="v", backend="cpu", requested="cuda", degraded="no GPU"
    )
    assert list(problems.of_model("main", model)) == ["the model in slot main runs on cpu instead of cuda: no GPU"]
    assert list(problems.of_output("jsonl", OutputHealth())) == []
    assert list(problems.of_output("mqtt", OutputHealth(connected=False, trouble="refused"))) == ["mqtt: refused"]
    full = QueueHealth(messages=1, size_bytes=95, limit_bytes=100, in_memory=True)
    assert len(list(problems.of_queue("mqtt", full))) == 2
    held = GovernorHealth(level=2, fps_ratio=0.5, reason="85 °C")
    assert list(problems.of_governor(held)) == ["held back to 50% of the frames: 85 °C"]
