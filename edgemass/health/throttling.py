"""Whether the board slows itself down or lacks power.

Told by the Raspberry Pi's firmware, a Jetson's alarms, Intel's counters, and by what the kernel does to cool it.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgemass.health import Place, Read
from edgemass.health.tree import Tree
from edgemass.messages.health import Throttling

# Bits of the Raspberry Pi's firmware (documentation of `vcgencmd get_throttled`); the same ones shifted by 16 = since
# the start.
UNDERVOLTAGE = 0
SLOWED: Mapping[int, str] = {
    1: "the clock is capped",
    2: "the CPU is throttled",
    3: "the soft temperature limit is reached",
}
SINCE_START = 16
CPUFREQ = "sys/devices/system/cpu/cpufreq"
# What cools by slowing down, among thermal-cpufreq-0, cpufreq-cpu0, gpu-balanced, 17000000.gpu, Processor, and fans.
_SLOWS = ("cpu", "gpu", "devfreq", "processor")


def pi_bits(tree: Tree) -> int | None:
    """What the firmware of a Raspberry Pi says; None on another board. The kernel writes it in hexadecimal without 0x.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    for path in tree.find("sys/devices/platform", "soc*/*firmware/get_throttled"):
        return tree.integer(path, 16)
    return None


def pi_voltage_alarm(tree: Tree) -> bool | None:
    """Whether the voltage is too low now, by the mainline kernel's driver (raspberrypi-hwmon); None where it is not."""
    for folder in tree.find("sys/class/hwmon", "hwmon*"):
        if tree.text(f"{folder}/name") == "rpi_volt":
            return bool(tree.number(f"{folder}/in0_lcrit_alarm"))
    return None


def alarms(tree: Tree) -> dict[str, int] | None:
    """How often a counter of the hardware has gone off since the start; None where there are none.

    A Jetson's oc1 to oc3 mean too much current or too little voltage (Jetson Linux Developer Guide); which of them is
    which differs from module to module.
    """
    found: dict[str, int | None] = {}
    for path in tree.find("sys/class/hwmon", "hwmon*/oc*_event_cnt"):
        alarm = path.rpartition("/")[2].removesuffix("_event_cnt")
        found[f"over-current or under-voltage alarm {alarm}"] = tree.number(path)
    for path in tree.find("sys/devices/system/cpu", "cpu*/thermal_throttle/package_throttle_count"):
        cause = "the CPU's package is too hot"
        found[cause] = max(found.get(cause) or 0, tree.number(path) or 0)
    counts = {cause: count for cause, count in found.items() if count is not None}
    return counts or None


def cooling(tree: Tree) -> list[str] | None:
    """What the kernel slows down to cool the board, in words; None where there is nothing that it could."""
    found = None
    for folder in tree.find("sys/class/thermal", "cooling_device*"):
        kind = (tree.text(f"{folder}/type") or "")[:64]
        if not any(word in kind.lower() for word in _SLOWS) or "fan" in kind.lower():
            continue
        found = [] if found is None else found
        state, most = tree.number(f"{folder}/cur_state"), tree.number(f"{folder}/max_state")
        if state is not None and state > 0:
            found.append(f"the kernel slows {kind} down ({state} of {most or '?'})")
    return found


def clock_ratio(tree: Tree) -> float | None:
    """The fastest core's clock now, over what it might be; a board at rest has a low one too."""
    ratios = []
    for policy in tree.find(CPUFREQ, "policy*"):
        now, most = tree.number(f"{policy}/scaling_cur_freq"), tree.number(f"{policy}/cpuinfo_max_freq")
        if now and most and now > 0 and most > 0:
            ratios.append(now / most)
    return round(max(ratios), 3) if ratios else None


class Throttle:
    """Reads it all. Alarms only count; one that went off since the reading before is on now."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._before: dict[str, int] | None = None

    def read(self) -> Throttling | None:
        """None where the board tells nothing of the kind.

        Raises:
            OSError, ValueError: the firmware of a Raspberry Pi cannot be asked.
        """
        bits, low = pi_bits(self._tree), pi_voltage_alarm(self._tree)
        counts, cooled, ratio = alarms(self._tree), cooling(self._tree), clock_ratio(self._tree)
        if bits is None and low is None and counts is None and cooled is None and ratio is None:
            return None
        bits = bits or 0
        slowed = [text for bit, text in SLOWED.items() if bits >> bit & 1]
        causes = [*slowed, *self._went_off(counts or {}), *(cooled or ())]
        return Throttling(
            throttled=bool(causes),
            undervoltage=bool(bits >> UNDERVOLTAGE & 1 or low),
            throttled_before=any(bits >> (bit + SINCE_START) & 1 for bit in SLOWED) or any((counts or {}).values()),
            undervoltage_before=bool(bits >> (UNDERVOLTAGE + SINCE_START) & 1),
            causes=tuple(causes),
            clock_ratio=ratio,
        )

    def _went_off(self, counts: dict[str, int]) -> list[str]:
        before, self._before = self._before, counts
        if before is None:
            return []
        return [cause for cause, count in counts.items() if count > before.get(cause, 0)]


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return Throttle(place.tree).read
