"""How far a board is held back."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator

import pytest

from edgemass.agent.governing import (
    BLIND_S,
    COOL_C,
    RELAPSE_S,
    STEPS,
    STEPS_LIGHTER,
    UP_S,
    Governing,
    Limits,
    Step,
)
from edgemass.messages.health import Temperature, Throttling

LIMITS = Limits(soft_c=78, hard_c=85, zones=("cpu-thermal",))
TICK_S = 2.0
HOUR_S = 3600.0


def at(celsius: float) -> Temperature:
    return Temperature(celsius, {"cpu-thermal": celsius})


def run(
    rules: Governing,
    seconds: float,
    celsius: float | None,
    throttling: Throttling | None = None,
    *,
    start_s: float = 0.0,
) -> list[float]:
    """Moments at which the level changed."""
    ticks = (start_s + TICK_S * index for index in range(round(seconds / TICK_S)))
    reading = None if celsius is None else at(celsius)
    return [now_s for now_s in ticks if rules.look(reading, throttling, now_s)]


def test_a_cool_board_is_left_alone() -> None:
    rules = Governing(LIMITS)
    assert run(rules, HOUR_S, 77.9, Throttling(throttled=False, undervoltage=False)) == []
    assert (rules.level, rules.step, rules.reason) == (0, Step(1.0), "")


def test_heat_goes_down_step_by_step_and_names_its_reason() -> None:
    rules = Governing(LIMITS)
    assert run(rules, 120, 79) == [0, 20, 40]
    assert (rules.step, rules.reason) == (Step(0.25), "79 °C, held back from 78 °C on")


def test_the_hard_limit_goes_down_at_once() -> None:
    rules = Governing(LIMITS, STEPS_LIGHTER)
    assert run(rules, 120, 86) == [0, 6, 12, 18]
    assert rules.step == Step(0.25, lighter=True)


def test_no_step_is_taken_while_it_cools_down_by_itself() -> None:
    rules = Governing(LIMITS)
    changes = [now for now in range(0, 120, 2) if rules.look(at(84 - 0.05 * now), None, now)]
    assert changes == [0]


def test_between_the_limits_nothing_changes() -> None:
    rules = Governing(LIMITS)
    run(rules, 10, 80)
    assert run(rules, HOUR_S, 78 - COOL_C + 0.1, start_s=10) == []
    assert rules.level == 1


def test_it_comes_up_slowly_and_says_nothing_more_at_the_top() -> None:
    rules = Governing(LIMITS)
    run(rules, 50, 80)
    assert rules.level == 3
    changes = run(rules, HOUR_S, 60, start_s=50)
    assert len(changes) == 3
    assert all(later - earlier >= UP_S for earlier, later in itertools.pairwise([50, *changes]))
    assert (rules.level, rules.reason) == (0, "")


def test_who_gets_hot_again_waits_twice_as_long() -> None:
    """A board that is hot at level 0 and cool at level 1."""
    rules, ups = Governing(LIMITS), []
    for index in range(round(8 * HOUR_S / TICK_S)):
        before = rules.level
        rules.look(at(80 if before == 0 else 60), None, index * TICK_S)
        ups += [index * TICK_S] * (rules.level < before)
    waits = [later - earlier for earlier, later in itertools.pairwise([0.0, *ups])]
    assert waits[0] == pytest.approx(UP_S, abs=30)
    assert all(1.7 < later / earlier < 2.1 for earlier, later in itertools.pairwise(waits[:6]))
    assert max(waits) < 2.1 * HOUR_S


def test_a_long_time_without_trouble_is_forgiven() -> None:
    rules = Governing(LIMITS)
    run(rules, 10, 80)
    run(rules, 140, 60, start_s=10)
    assert rules.level == 0
    run(rules, 10, 80, start_s=150)
    assert rules._hold_s == 2 * UP_S
    run(rules, 2 * UP_S + 2 * RELAPSE_S, 60, start_s=160)
    assert rules._hold_s == UP_S


def test_low_voltage_holds_back_even_a_cold_board() -> None:
    rules = Governing(LIMITS)
    run(rules, 60, 40, Throttling(throttled=False, undervoltage=True))
    assert (rules.level, rules.reason) == (3, "the voltage is too low")
    run(rules, 1, 40, Throttling(throttled=False, undervoltage=False, undervoltage_before=True), start_s=60)
    assert rules.level == 3
    before = Throttling(throttled=False, undervoltage=False, undervoltage_before=True, throttled_before=True)
    run(rules, 600, 40, before, start_s=62)
    assert rules.level == 0


def test_throttling_counts_only_where_it_may_be_heat() -> None:
    capped = Throttling(throttled=True, undervoltage=False, causes=("the clock is capped",))
    cold, warm, blind = Governing(LIMITS), Governing(LIMITS), Governing(LIMITS)
    assert run(cold, HOUR_S, 50, capped) == []
    assert len(run(warm, 60, 75, capped)) == 3
    assert warm.reason == "the board slows itself down: the clock is capped"
    assert len(run(blind, 60, None, capped)) == 3


def test_a_board_without_sensors_is_never_held_back() -> None:
    assert run(Governing(LIMITS), HOUR_S, None) == []


def test_a_sensor_that_falls_silent_changes_nothing_for_a_while_and_then_is_not_believed() -> None:
    rules = Governing(LIMITS)
    run(rules, 10, 80)
    changes = run(rules, HOUR_S, None, start_s=10)
    assert [rules.level, len(changes)] == [0, 1]
    assert BLIND_S <= changes[0] <= BLIND_S + UP_S + 20


@pytest.mark.parametrize("garbage", [0.0, -256.0, 255.0, 1e9, math.nan, math.inf, -math.inf])
def test_what_no_chip_can_have_is_not_believed(garbage: float) -> None:
    rules = Governing(LIMITS)
    assert run(rules, HOUR_S, garbage) == []


def test_one_odd_value_changes_nothing() -> None:
    rules, draw = Governing(LIMITS), random.Random(1)
    values = [at(draw.choice((120.0, 1.0)) if index % 4 == 3 else 60.0) for index in range(2000)]
    assert not any(rules.look(value, None, index * TICK_S) for index, value in enumerate(values))


def test_only_the_zones_that_count_are_looked_at() -> None:
    pmic = Temperature(100.0, {"PMIC-Die": 100.0, "CPU-therm": 50.0})
    nano = Governing(Limits(85, 95, ("CPU-therm", "GPU-*")))
    unknown = Governing(Limits(85, 95, ("no-such-zone",)))
    assert not any(nano.look(pmic, None, now) for now in range(0, 100, 2))
    assert any(unknown.look(pmic, None, now) for now in range(0, 100, 2))
    bare = Governing(Limits(85, 95, ("CPU-therm",)))
    assert bare.look(Temperature(90.0), None, 0)


def test_other_steps_leave_it_where_it_was() -> None:
    rules = Governing(LIMITS, STEPS_LIGHTER)
    run(rules, 30, 86)
    rules.use(STEPS)
    assert (rules.level, rules.step) == (3, Step(0.25))
    rules.use(STEPS_LIGHTER)
    assert rules.step == Step(0.5, lighter=True)


# Simulated heat


def heat(draw: random.Random, ratio: Callable[[], float]) -> Iterator[float]:
    """Temperatures every tick of a chip in a case: two first-order systems, the power in proportion to the frames.

    The place may be warm, the sun may come and go, and the sensor has steps and noise.
    """
    place_c, idle_c, load_c = draw.uniform(10, 55), draw.uniform(3, 12), draw.uniform(10, 90)
    share = draw.uniform(0.2, 0.8)  # of the rise that the case makes, which is slow
    chip_tau_s, case_tau_s = draw.uniform(4, 40), draw.uniform(120, 1500)
    sun_c, sun_s, phase = draw.choice((0.0, draw.uniform(0, 12))), draw.uniform(1800, 14400), draw.random()
    step_c, noise_c = draw.choice((0.5, 1.0, 0.1)), draw.uniform(0, 0.4)
    chip = case = 0.0
    for index in itertools.count():
        power = idle_c + load_c * ratio() * draw.uniform(0.95, 1.05)
        case += (power * share - case) * TICK_S / case_tau_s
        chip += (power * (1 - share) - chip) * TICK_S / chip_tau_s
        sun = sun_c * math.sin(2 * math.pi * (index * TICK_S / sun_s + phase))
        yield round((place_c + sun + chip + case + draw.gauss(0, noise_c)) / step_c) * step_c


def simulate(seed: int, hours: int = 4) -> tuple[list[int], float]:
    """Changes of the level in each hour, and the hottest that it was after the first ten minutes."""
    draw = random.Random(seed)
    rules = Governing(LIMITS, draw.choice((STEPS, STEPS_LIGHTER)))
    changes, hottest = [0] * hours, 0.0
    world = heat(draw, lambda: rules.step.fps_ratio * (0.6 if rules.step.lighter else 1.0))
    for index in range(round(hours * HOUR_S / TICK_S)):
        now_s = index * TICK_S
        celsius = next(world)
        changes[int(now_s // HOUR_S)] += rules.look(at(celsius), None, now_s)
        if now_s > 600 and rules.level < len(rules.steps) - 1:
            hottest = max(hottest, celsius)
    return changes, hottest


MOST_FIRST, MOST_LATER = 16, 10
"""Down four levels and up again with 2, 4, 8, ... minutes between; later the pauses are longer, but for the sun."""


def check(seed: int) -> None:
    changes, hottest = simulate(seed)
    assert changes[0] <= MOST_FIRST, f"seed {seed}: {changes}"
    assert max(changes[1:]) <= MOST_LATER, f"seed {seed}: {changes}"
    assert hottest < LIMITS.hard_c + 8, f"seed {seed}: {hottest}"  # unless the last step is not enough


def test_simulated_heat_does_not_swing() -> None:
    for seed in range(40):
        check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(40, 2040, 200))
def test_simulated_heat_does_not_swing_with_many_seeds(first: int) -> None:
    for seed in range(first, first + 200):
        check(seed)
