"""EM605 to EM607: temperature, throttling, power."""

from __future__ import annotations

from collections.abc import Sequence

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine
from edgemass.health import temperature as heat
from edgemass.health.throttling import CPUFREQ, SINCE_START, SLOWED, UNDERVOLTAGE, pi_bits, pi_voltage_alarm

_SUPPLY = "use the board's own power supply and a short cable; give USB devices a powered hub"
_COOL = "give the board a heat sink or a fan, and air"


def temperature(machine: Machine) -> Sequence[Finding]:
    """The zone closest to where the kernel begins to slow the board down."""
    zones = heat.zones(machine)
    if not zones:
        return [Finding(Status.NOTE, "no sensor that the kernel knows")]
    zone = heat.closest(zones)
    limit_c = heat.SLOWING_C if zone.limit_c is None else zone.limit_c
    found = f"{zone.celsius:.0f} °C ({zone.name}), limit {limit_c:.0f} °C"
    return [Finding(Status.WARN, found, _COOL) if zone.celsius >= limit_c else Finding(Status.OK, found)]


def throttling(machine: Machine) -> Sequence[Finding]:
    """What the Raspberry Pi's firmware says, and clocks that somebody capped; nothing where neither tells."""
    findings = []
    bits = _bits(machine)
    if bits is not None:
        now = [text for bit, text in SLOWED.items() if bits >> bit & 1]
        before = [text for bit, text in SLOWED.items() if bits >> (bit + SINCE_START) & 1]
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
    for policy in machine.find(CPUFREQ, "policy*"):
        allowed, most = machine.number(f"{policy}/scaling_max_freq"), machine.number(f"{policy}/cpuinfo_max_freq")
        if allowed and most and allowed < most:
            found = f"{policy.rpartition('/')[2]} may run at {allowed / 1e6:.2f} of {most / 1e6:.2f} GHz"
            fix = (
                "sudo nvpmodel -m 0"
                if machine.is_jetson
                else f"if that is not wanted: cpupower frequency-set -u {most}"
            )
            return [Finding(Status.NOTE, found, fix)]
    return []


def power(machine: Machine) -> Sequence[Finding]:
    """Says nothing where the board does not tell."""
    bits = _bits(machine)
    if bits is not None:
        if bits >> UNDERVOLTAGE & 1:
            return [Finding(Status.WARN, f"the voltage is too low now (0x{bits:x})", _SUPPLY)]
        if bits >> (UNDERVOLTAGE + SINCE_START) & 1:
            return [Finding(Status.WARN, f"the voltage was too low since the start (0x{bits:x})", _SUPPLY)]
        return [Finding(Status.OK, "the voltage was never too low since the start")]
    if pi_voltage_alarm(machine):
        return [Finding(Status.WARN, "the voltage is too low now", _SUPPLY)]
    kinds = {
        machine.text(f"{folder}/status")
        for folder in machine.find("sys/class/power_supply", "*")
        if machine.text(f"{folder}/type") == "Battery"
    }
    if "Discharging" in kinds:
        return [Finding(Status.NOTE, "runs on its battery", "connect it to a power supply")]
    return [Finding(Status.OK, "the battery is not in use")] if kinds else []


def _bits(machine: Machine) -> int | None:
    try:
        return pi_bits(machine)
    except (OSError, ValueError):
        return None
