from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgemass.health import Place, power, temperature
from edgemass.health.clock import Timekeeping
from edgemass.health.cpu import CpuUse
from edgemass.health.disk import DAY_NS, Written
from edgemass.health.memory import MemoryUse
from edgemass.health.slope import Slope
from edgemass.health.throttling import Throttle
from edgemass.health.tree import Tree
from edgemass.health.window import Window
from edgemass.messages.health import Power, Temperature
from tests.simulators.manual_clock import NS, ManualClock

BOARDS = Path(__file__).resolve().parents[2] / "data" / "boards"
MINUTE_NS = 60 * NS
MIB = 1 << 20


def tree(board: str) -> Tree:
    return Tree(root=BOARDS / board)


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A copy of the Raspberry Pi 3 that may be changed."""
    shutil.copytree(BOARDS / "raspberry-pi-3", tmp_path / "pi")
    return tmp_path / "pi"


@pytest.mark.parametrize(
    ("board", "hottest_c", "limit_c"),
    [
        ("raspberry-pi-3", 48.3, None),
        ("raspberry-pi-5", 84.8, None),
        ("jetson-nano", 45.5, 97.0),
        ("jetson-orin-nano", 98.5, 99.0),
        ("coral-dev-board", 57.0, 80.0),
        ("mini-pc", 71.0, 100.0),
    ],
)
def test_the_hottest_zone_is_told_with_the_boards_own_limit(
    board: str, hottest_c: float, limit_c: float | None
) -> None:
    reading = temperature.read(tree(board))
    assert reading is not None
    assert reading.hottest_c == hottest_c
    assert reading.limit_c == limit_c


def test_sensors_that_are_made_up_or_not_of_the_board_do_not_count() -> None:
    for board, absent in (("jetson-nano", "PMIC-Die"), ("mini-pc", "iwlwifi_1"), ("jetson-orin-nano", "cv0-thermal")):
        reading = temperature.read(tree(board))
        assert reading is not None
        assert absent not in reading.zones
    assert "apex_0" in (temperature.read(tree("coral-dev-board")) or Temperature(0)).zones


def test_a_board_whose_sensors_refuse_is_a_failure_and_one_without_is_none(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    assert temperature.read(Tree(root=tmp_path)) is None
    zone.mkdir(parents=True)
    (zone / "temp").write_text("warm\n")
    with pytest.raises(ValueError, match="must hold an integer, found 'warm'"):
        temperature.read(Tree(root=tmp_path))


@pytest.mark.parametrize(
    ("board", "throttled", "undervoltage", "before"),
    [
        ("raspberry-pi-3", False, False, (False, False)),
        ("raspberry-pi-4", True, True, (True, True)),
        ("raspberry-pi-5", True, False, (True, False)),
        ("raspberry-pi-zero-2-w", False, False, (True, True)),
        ("jetson-nano", False, False, (False, False)),
        ("jetson-orin-nano", True, False, (True, False)),
        ("mini-pc", False, False, (True, False)),
    ],
)
def test_throttling_and_undervoltage_are_told_apart_and_now_from_before(
    board: str, throttled: bool, undervoltage: bool, before: tuple[bool, bool]
) -> None:
    reading = Throttle(tree(board)).read()
    assert reading is not None
    assert (reading.throttled, reading.undervoltage) == (throttled, undervoltage)
    assert (reading.throttled_before, reading.undervoltage_before) == before
    assert reading.clock_ratio is not None


@pytest.mark.parametrize("bit", [0, 1, 2, 3, 16, 17, 18, 19])
def test_every_bit_of_the_pi_says_one_thing(pi: Path, bit: int) -> None:
    (pi / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text(f"{1 << bit:x}\n")
    reading = Throttle(Tree(root=pi)).read()
    assert reading is not None
    told = (reading.undervoltage, reading.throttled, reading.undervoltage_before, reading.throttled_before)
    assert told == (bit == 0, bit in (1, 2, 3), bit == 16, bit in (17, 18, 19))


def test_an_alarm_counts_as_on_when_it_went_off_since_the_last_look(tmp_path: Path) -> None:
    shutil.copytree(BOARDS / "jetson-agx-orin", tmp_path / "orin")
    throttle = Throttle(Tree(root=tmp_path / "orin"))
    assert [throttle.read(), throttle.read()][-1].throttled is False  # type: ignore[union-attr]
    (tmp_path / "orin/sys/class/hwmon/hwmon3/oc2_event_cnt").write_text("1\n")
    on, after = throttle.read(), throttle.read()
    assert on is not None
    assert on.causes == ("over-current or under-voltage alarm oc2",)
    assert after is not None
    assert (after.throttled, after.throttled_before) == (False, True)


def test_power_is_that_of_the_whole_board() -> None:
    assert power.read(tree("jetson-nano")) == Power(2.53)
    assert power.read(tree("jetson-orin-nano")) == Power(round(5.088 * 1.432, 3))
    sums = power.read(tree("jetson-agx-orin"))
    assert sums is not None
    assert sums.watts == pytest.approx(19.896 * 0.24 + 4.976 * 0.848, abs=0.001)
    assert power.read(tree("mini-pc")) == Power(None, {"AC": True, "BAT0": False})
    assert power.read(tree("raspberry-pi-4")) is None


def stat(root: Path, board: str, process: int) -> None:
    (root / "proc/stat").write_text(f"cpu  {board}\ncpu0 1\ncpu1 1\ncpu2 1\ncpu3 1\n")
    (root / "proc/self/stat").write_text(f"1 (a ) b) S 1 1 1 0 -1 0 0 0 0 0 {process} 0 0 0 20 0\n")


def test_use_of_the_cpu_is_that_between_two_readings(pi: Path) -> None:
    use = CpuUse(Tree(root=pi))
    stat(pi, "100 0 100 800 0 0 0 0 0 0", 50)
    first = use.read()
    stat(pi, "200 0 200 1000 100 0 0 0 0 0", 150)
    second = use.read()
    assert first is not None
    assert first.used_ratio is first.process_ratio is None
    assert second is not None
    assert (second.used_ratio, second.process_ratio, second.cores) == (0.4, 0.2, 4)


def test_what_a_control_group_leaves_is_what_the_process_is_measured_against(pi: Path, tmp_path: Path) -> None:
    group = pi / "sys/fs/cgroup/system.slice/edgemass.service"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("100000 100000\n")
    (group / "memory.max").write_text(f"{200 * MIB}\n")
    (group / "memory.current").write_text(f"{120 * MIB}\n")
    use = CpuUse(Tree(root=pi))
    stat(pi, "100 0 100 800 0 0 0 0 0 0", 50)
    use.read()
    stat(pi, "200 0 200 1000 100 0 0 0 0 0", 150)
    reading = use.read()
    assert reading is not None
    assert (reading.process_ratio, reading.cores) == (0.8, 1)
    memory = MemoryUse(Place(clock=ManualClock(), state=tmp_path, tree=Tree(root=pi))).read()
    assert memory is not None
    assert (memory.total_bytes, memory.available_bytes) == (200 * MIB, 80 * MIB)


def test_a_growth_of_memory_is_seen_through_noise_and_only_when_there_is_enough_to_tell() -> None:
    slope = Slope()
    for half_minute in range(20):
        slope.add(half_minute * MINUTE_NS // 2, 1000.0)
    assert slope.per_hour() is None
    for half_minute in range(20, 240):
        burst = 1e9 if half_minute % 14 == 0 else 0.0  # a quarter of all minutes has a wild value, none a wild median
        slope.add(half_minute * MINUTE_NS // 2, half_minute * 100.0 + burst)
    assert slope.per_hour() == pytest.approx(120 * 100, rel=0.01)


def test_memory_that_was_taken_an_hour_ago_is_forgotten() -> None:
    slope = Slope()
    for minute in range(180):
        slope.add(minute * MINUTE_NS, min(minute, 60) * 1000.0)
    assert slope.per_hour() == 0.0


def test_bytes_of_a_day_are_those_of_the_last_24_hours() -> None:
    written = Written()
    hours = [written.of_day(hour * DAY_NS // 24, hour * 1000) for hour in range(73)]
    assert hours[:3] == [0, 1000, 2000]
    assert hours[24:] == [24_000] * 49


def test_a_clock_that_is_set_is_counted_and_one_that_drifts_is_not() -> None:
    class SetClock(ManualClock):
        ahead_ns = 0

        def time_ns(self) -> int:
            return super().time_ns() + self.ahead_ns

    clock = SetClock()
    keeping = Timekeeping(Place(clock=clock, state=Path("/"), tree=Tree(root=Path("/nowhere")), synced=lambda: False))
    clock.ahead_ns += NS // 50
    assert keeping.read().steps == 0
    for step_ns in (50 * 365 * DAY_NS, -100 * 365 * DAY_NS, NS):
        clock.ahead_ns += step_ns
        keeping.read()
    assert keeping.read().steps == 3


@pytest.mark.parametrize(
    ("mark", "source"),
    [("run/systemd/timesync/synchronized", "systemd-timesyncd"), ("run/chrony/chronyd.pid", "chrony"), ("", "kernel")],
)
def test_who_keeps_the_clock_is_named(tmp_path: Path, mark: str, source: str) -> None:
    if mark:
        (tmp_path / mark).parent.mkdir(parents=True)
        (tmp_path / mark).touch()
    place = Place(clock=ManualClock(), state=tmp_path, tree=Tree(root=tmp_path), synced=lambda: True)
    assert Timekeeping(place).read().source == source


def test_a_window_holds_what_is_recent_and_is_bounded() -> None:
    window = Window(60, 5)
    for second in range(1000):
        window.add(second * NS, (second * 10, 0))
    seconds, (grown, _) = window.grown(1000 * NS, (10_000, 0))
    assert 60 <= seconds <= 65
    assert grown / seconds == pytest.approx(10)
    assert len(window._kept) <= 14
