"""What the governor goes by: how hot the board is, whether it slows itself down or lacks power, and free memory."""

from __future__ import annotations

import re
from pathlib import Path

from edgemass.messages.health import Memory, System, Temperature, Throttling

_MOST_BYTES = 1 << 16
_SANE_C = (-40.0, 150.0)  # zones without a sensor report 0 K, or -256 and 255
# Bits of the Raspberry Pi's firmware (documentation of `vcgencmd get_throttled`).
_UNDERVOLTAGE = 0
_SLOWED = {1: "the clock is capped", 2: "the CPU is throttled", 3: "the soft temperature limit is reached"}
_MEMORY = re.compile(r"^(MemTotal|MemAvailable):\s*(\d+) kB$", re.MULTILINE)


def read(root: Path) -> System:
    """root: that /proc and /sys are read under. What is not there or cannot be read is None."""
    return System(temperature=_temperature(root), throttling=_throttling(root), memory=_memory(root))


def _temperature(root: Path) -> Temperature | None:
    zones: dict[str, float] = {}
    for folder in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        celsius = _number(folder / "temp", 10)
        if celsius and _SANE_C[0] < celsius / 1000 < _SANE_C[1]:
            name = _text(folder / "type") or folder.name
            zones[name] = max(celsius / 1000, zones.get(name, _SANE_C[0]))
    return Temperature(max(zones.values()), zones) if zones else None


def _throttling(root: Path) -> Throttling | None:
    """The Raspberry Pi's firmware, or the mainline kernel's driver of its voltage alarm."""
    for file in sorted((root / "sys/devices/platform").glob("soc*/*firmware/get_throttled")):
        bits = _number(file, 16)
        if bits is not None:
            causes = tuple(text for bit, text in _SLOWED.items() if bits >> bit & 1)
            return Throttling(throttled=bool(causes), undervoltage=bool(bits >> _UNDERVOLTAGE & 1), causes=causes)
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(folder / "name") == "rpi_volt":
            return Throttling(throttled=False, undervoltage=bool(_number(folder / "in0_lcrit_alarm", 10)))
    return None


def _memory(root: Path) -> Memory | None:
    found = {name: int(kib) * 1024 for name, kib in _MEMORY.findall(_text(root / "proc/meminfo"))}
    if len(found) < 2:
        return None
    return Memory(total_bytes=found["MemTotal"], available_bytes=found["MemAvailable"], rss_bytes=0)


def _number(path: Path, base: int) -> int | None:
    try:
        return int(_text(path), base)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:
        return ""
