"""EM605 to EM607: temperature, throttling, power."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine

HOT_C = 80.0  # where the board names no temperature of its own: a Raspberry Pi begins to slow down there
_SANE_C = (-40.0, 150.0)  # zones without a sensor report 0 K, or -256 and 255

# Bits of the Raspberry Pi's firmware (documentation of `vcgencmd get_throttled`); the same ones shifted by 16 = since
# the start.
UNDER_VOLTAGE = 0
_SLOWED = {1: "the clock is capped", 2: "the CPU is throttled", 3: "the soft temperature limit is reached"}
_SINCE_START = 16
_SUPPLY = "use the board's own power supply and a short cable; give USB devices a powered hub"
_COOL = "give the board a heat sink or a fan, and air"


def temperature(machine: Machine) -> Sequence[Finding]:
    """The hottest zone against the trip point where the kernel begins to slow the board down."""
    zones = [
        zone
        for zone in (_zone(machine, folder.name) for folder in _folders(machine, "thermal", "thermal_zone*"))
        if zone
    ]
    if not zones:
        return [Finding(Status.NOTE, "no sensor that the kernel knows")]
    _, name, celsius, limit = max((celsius - limit, name, celsius, limit) for name, celsius, limit in zones)
    found = f"{celsius:.0f} °C ({name}), limit {limit:.0f} °C"
    return [Finding(Status.WARN, found, _COOL) if celsius >= limit else Finding(Status.OK, found)]


def _zone(machine: Machine, folder: str) -> tuple[str, float, float] | None:
    """(kind, °C, °C at which it is too hot)."""
    path = f"sys/class/thermal/{folder}"
    millidegrees = machine.number(f"{path}/temp")
    if millidegrees is None or not _SANE_C[0] < millidegrees / 1000 < _SANE_C[1] or millidegrees == 0:
        return None
    limits = []
    for trip in sorted((machine.root / path).glob("trip_point_*_type")):
        limit = machine.number(f"{path}/{trip.name.removesuffix('_type')}_temp")
        if machine.text(f"{path}/{trip.name}") in ("passive", "hot", "critical") and limit and limit > 0:
            limits.append(limit / 1000)
    return machine.text(f"{path}/type") or folder, millidegrees / 1000, min(limits, default=HOT_C)


def throttling(machine: Machine) -> Sequence[Finding]:
    """What the Raspberry Pi's firmware says, and clocks that somebody capped; nothing where neither tells."""
    findings = []
    bits = _pi_bits(machine)
    if bits is not None:
        now = [text for bit, text in _SLOWED.items() if bits >> bit & 1]
        before = [text for bit, text in _SLOWED.items() if bits >> (bit + _SINCE_START) & 1]
        if now:
            findings.append(Finding(Status.WARN, f"{', '.join(now)} (0x{bits:x})", f"{_COOL}; see also EM607"))
        elif before:
            fix = f"{_COOL}; see also EM607"
            findings.append(
                Finding(Status.NOTE, f"not now, but since the start: {', '.join(before)} (0x{bits:x})", fix)
            )
        else:
            findings.append(Finding(Status.OK, "none since the start"))
    return findings + _capped(machine)


def _capped(machine: Machine) -> list[Finding]:
    """A policy of cpufreq is a group of cores."""
    for policy in sorted((machine.root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        path = f"sys/devices/system/cpu/cpufreq/{policy.name}"
        allowed, most = machine.number(f"{path}/scaling_max_freq"), machine.number(f"{path}/cpuinfo_max_freq")
        if allowed and most and allowed < most:
            found = f"{policy.name} may run at {allowed / 1e6:.2f} of {most / 1e6:.2f} GHz"
            fix = (
                "sudo nvpmodel -m 0"
                if machine.is_jetson
                else f"if that is not wanted: cpupower frequency-set -u {most}"
            )
            return [Finding(Status.NOTE, found, fix)]
    return []


def power(machine: Machine) -> Sequence[Finding]:
    """Says nothing where the board does not tell."""
    bits = _pi_bits(machine)
    if bits is not None:
        if bits >> UNDER_VOLTAGE & 1:
            return [Finding(Status.WARN, f"the voltage is too low now (0x{bits:x})", _SUPPLY)]
        if bits >> (UNDER_VOLTAGE + _SINCE_START) & 1:
            return [Finding(Status.WARN, f"the voltage was too low since the start (0x{bits:x})", _SUPPLY)]
        return [Finding(Status.OK, "the voltage was never too low since the start")]
    if any(machine.number(f"{path}/in0_lcrit_alarm") for path in _pi_voltage(machine)):
        return [Finding(Status.WARN, "the voltage is too low now", _SUPPLY)]
    kinds = {
        machine.text(f"sys/class/power_supply/{folder.name}/status")
        for folder in _folders(machine, "power_supply", "*")
        if machine.text(f"sys/class/power_supply/{folder.name}/type") == "Battery"
    }
    if "Discharging" in kinds:
        return [Finding(Status.NOTE, "runs on its battery", "connect it to a power supply")]
    return [Finding(Status.OK, "the battery is not in use")] if kinds else []


def _pi_voltage(machine: Machine) -> list[str]:
    """The Raspberry Pi's driver of the mainline kernel, drivers/hwmon/raspberrypi-hwmon.c."""
    paths = (f"sys/class/hwmon/{folder.name}" for folder in _folders(machine, "hwmon", "hwmon*"))
    return [path for path in paths if machine.text(f"{path}/name") == "rpi_volt"]


def _pi_bits(machine: Machine) -> int | None:
    """The kernel writes them in hexadecimal without 0x."""
    for file in sorted((machine.root / "sys/devices/platform").glob("soc*/*firmware/get_throttled")):
        return machine.number(str(file.relative_to(machine.root)), 16)
    return None


def _folders(machine: Machine, kind: str, pattern: str) -> list[Path]:
    return sorted((machine.root / "sys/class" / kind).glob(pattern))
