"""How far a board that is hot, or lacks power, is held back: rules, apart from reading sensors and slowing cameras.

Down quickly, up slowly. Whoever comes up and gets hot again waits twice as long before the next try, so that a board in
a warm place settles instead of swinging: a level that was too much is tried again after 2, 4, 8, ... 120 minutes.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from edgemass.messages.health import Temperature, Throttling

SANE_C = (-40.0, 150.0)  # zones without a sensor report 0 K, or -256 and 255
DOWN_S, DOWN_AT_ONCE_S = 20.0, 5.0
"""Between two steps down, at the soft and at the hard limit; a chip answers to less power within seconds."""
COOL_C = 6.0
"""Below the soft limit, that it has to be for a step up."""
UP_S, UP_MOST_S = 120.0, 7200.0
RELAPSE_S = 1800.0
"""Hot again within so long after a step up: that step was too much. Heat sinks and cases take minutes to warm up."""
TREND_S, FALLING_C = 20.0, 0.5
"""It cools down by itself where it is so much cooler than before that time."""
STALE_S, BLIND_S = 6.0, 600.0
"""Without a reading for so long nothing says that it gets hotter, or that it is still hot."""
READINGS = 3  # the median of so many: one odd value changes nothing


@dataclass(frozen=True)
class Limits:
    """Degrees Celsius. zones: that count, () = the hottest of all; see device_profile.Thermal."""

    soft_c: float
    hard_c: float
    zones: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """fps_ratio: of what the cameras do else. lighter: whether a lighter variant of the model runs."""

    fps_ratio: float
    lighter: bool = False


STEPS = (Step(1.0), Step(0.75), Step(0.5), Step(0.25))
STEPS_LIGHTER = (Step(1.0), Step(0.75), Step(0.5), Step(0.5, lighter=True), Step(0.25, lighter=True))


@dataclass(frozen=True)
class Trouble:
    """Why to hold back. at_once: without waiting for what the last step does."""

    reason: str
    at_once: bool = False


class Governing:
    """The level of one board; time comes with the readings, monotonic, in seconds.

    level: index of `steps`, 0 = nothing is held back. reason: of the last step down, "" at level 0.
    """

    def __init__(self, limits: Limits, steps: Sequence[Step] = STEPS) -> None:
        self.level = 0
        self.reason = ""
        self.steps = steps
        self._limits = limits
        self._readings: deque[float] = deque(maxlen=READINGS)
        self._trend: deque[tuple[float, float]] = deque()
        self._seen_s: float | None = None
        self._down_s: float | None = None
        self._up_s: float | None = None
        self._calm_s: float | None = None
        self._hold_s = UP_S

    @property
    def step(self) -> Step:
        return self.steps[min(self.level, len(self.steps) - 1)]

    def use(self, steps: Sequence[Step]) -> None:
        """Go by other steps from now on."""
        self.steps, self.level = steps, min(self.level, len(steps) - 1)

    def look(self, temperature: Temperature | None, throttling: Throttling | None, now_s: float) -> bool:
        """Take one reading into account; None where the board has no such sensor. Returns whether the level changed."""
        celsius = self._celsius(temperature, now_s)
        trouble = self._trouble(celsius, throttling)
        if trouble is not None:
            self._calm_s = None
            return self._step_down(trouble, now_s)
        if not self._is_calm(celsius, now_s):
            self._calm_s = None
            return False
        if self._calm_s is None:
            self._calm_s = now_s
        if self.level == 0:
            self._forgive(now_s)
            return False
        return self._step_up(now_s)

    def _celsius(self, temperature: Temperature | None, now_s: float) -> float | None:
        """The median of the last readings; None where there were none for a while."""
        found = _of_zones(temperature, self._limits.zones)
        if found is not None:
            self._readings.append(found)
            self._seen_s = now_s
        elif self._seen_s is not None and now_s - self._seen_s > STALE_S:
            self._readings.clear()
        if not self._readings:
            return None
        celsius = statistics.median_low(self._readings)
        self._trend.append((now_s, celsius))
        while self._trend and now_s - self._trend[0][0] > TREND_S:
            self._trend.popleft()
        return celsius

    def _trouble(self, celsius: float | None, throttling: Throttling | None) -> Trouble | None:
        soft_c, hard_c = self._limits.soft_c, self._limits.hard_c
        if celsius is not None and celsius >= hard_c:
            return Trouble(f"{celsius:.0f} °C, the board slows itself down from {hard_c:g} °C on", at_once=True)
        if throttling is not None and throttling.undervoltage:
            return Trouble("the voltage is too low")
        if celsius is not None and self.level > 0 and self._falls(celsius):
            return None
        if celsius is not None and celsius >= soft_c:
            return Trouble(f"{celsius:.0f} °C, held back from {soft_c:g} °C on")
        warm = celsius is None or celsius > soft_c - COOL_C
        if throttling is not None and throttling.throttled and warm:  # a clock that somebody capped is no heat
            causes = ", ".join(throttling.causes)
            return Trouble(f"the board slows itself down{f': {causes}' if causes else ''}")
        return None

    def _step_down(self, trouble: Trouble, now_s: float) -> bool:
        if self.level >= len(self.steps) - 1:
            return False
        wait_s = DOWN_AT_ONCE_S if trouble.at_once else DOWN_S
        if self._down_s is not None and now_s - self._down_s < wait_s:
            return False
        if self._up_s is not None and now_s - self._up_s < RELAPSE_S:
            self._hold_s = min(2 * self._hold_s, UP_MOST_S)
            self._up_s = None  # one relapse doubles once, however many steps down follow
        self.level += 1
        self.reason, self._down_s = trouble.reason, now_s
        return True

    def _falls(self, celsius: float) -> bool:
        return bool(self._trend) and self._trend[0][1] - celsius >= FALLING_C

    def _is_calm(self, celsius: float | None, now_s: float) -> bool:
        """Where a sensor is silent that was there before, nothing is known for a while."""
        if celsius is None:
            return self._seen_s is None or now_s - self._seen_s >= BLIND_S
        return celsius <= self._limits.soft_c - COOL_C

    def _step_up(self, now_s: float) -> bool:
        assert self._calm_s is not None
        if now_s - self._calm_s < self._hold_s:
            return False
        self.level -= 1
        self._up_s = self._calm_s = now_s
        if self.level == 0:
            self.reason = ""
        return True

    def _forgive(self, now_s: float) -> None:
        """Every so long without trouble, the next try comes sooner again."""
        assert self._calm_s is not None
        if self._hold_s > UP_S and now_s - self._calm_s >= RELAPSE_S:
            self._hold_s = max(UP_S, self._hold_s / 2)
            self._calm_s = now_s


def _of_zones(temperature: Temperature | None, zones: Sequence[str]) -> float | None:
    """Of the hottest zone that counts and makes sense; of all where none of those is there."""
    if temperature is None:
        return None
    sane = {name: value for name, value in temperature.zones.items() if _is_sane(value)}
    wanted = [value for name, value in sane.items() if any(fnmatchcase(name, zone) for zone in zones)]
    if wanted or sane:
        return max(wanted or sane.values())
    return temperature.hottest_c if _is_sane(temperature.hottest_c) else None


def _is_sane(celsius: float) -> bool:
    return SANE_C[0] < celsius < SANE_C[1] and celsius != 0
