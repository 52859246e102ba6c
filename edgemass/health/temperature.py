"""How hot the chips are: the kernel's thermal zones, the sensors that PCs have in their CPUs, and Edge TPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgemass.health import Place, Read
from edgemass.health.tree import Tree
from edgemass.messages.health import Temperature

SLOWING_C = 80.0
"""Where the board names no limit of its own: a Raspberry Pi begins to slow down there (its documentation)."""
_SANE_C = (-40.0, 150.0)  # zones without a sensor report 0 K, or -256 and 255
_SLOWING = ("passive", "hot")  # trip points; at "critical" it switches the board off
# PMIC-Die of a Jetson is a constant that the device tree made up; radios and batteries are not what slows a board down.
_LEFT_OUT = ("pmic-die", "iwlwifi", "battery")
_CPU_SENSORS = ("coretemp", "k10temp", "zenpower")  # hwmon drivers of Intel and AMD; others repeat a thermal zone


class Zone(NamedTuple):
    """limit_c: where the kernel begins to slow the board down, by this zone; None where it names none."""

    name: str
    celsius: float
    limit_c: float | None


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return lambda: read(place.tree)


def read(tree: Tree) -> Temperature | None:
    """The zones; None where the board has no sensor that works.

    Raises:
        OSError, ValueError: it has sensors, and not one of them can be read.
    """
    found = zones(tree)
    if not found:
        return None
    celsius = {zone.name: round(zone.celsius, 1) for zone in found}
    return Temperature(max(celsius.values()), celsius, closest(found).limit_c)


def closest(found: list[Zone]) -> Zone:
    """The zone that is closest to its limit, or furthest beyond; the hottest where none has one."""
    limited = [zone for zone in found if zone.limit_c is not None]
    return max(limited or found, key=lambda zone: zone.celsius - (zone.limit_c or 0))


def zones(tree: Tree) -> list[Zone]:
    """All that have a sensor.

    Raises:
        OSError, ValueError: there are sensors, and not one of them can be read.
    """
    found: dict[str, Zone] = {}
    trouble: Exception | None = None
    for name, path, limit_c in (*_thermal(tree), *_hwmon(tree), *_edge_tpus(tree)):
        try:
            millidegrees = tree.integer(path)
        except (OSError, ValueError) as error:  # a zone that is switched off answers EAGAIN or ENODATA
            trouble = error
            continue
        if millidegrees and _SANE_C[0] < millidegrees / 1000 < _SANE_C[1]:
            known = f"{name} {len(found)}" if name in found else name
            found[known] = Zone(known, millidegrees / 1000, limit_c)
    if trouble is not None and not found and not _switched_off(trouble):
        raise trouble
    return list(found.values())


def _thermal(tree: Tree) -> Iterator[tuple[str, str, float | None]]:
    """Name, path and limit of every zone."""
    for folder in tree.find("sys/class/thermal", "thermal_zone*"):
        name = (tree.text(f"{folder}/type") or folder.rpartition("/")[2])[:64]
        if not name.lower().startswith(_LEFT_OUT):
            yield name, f"{folder}/temp", _limit_c(tree, folder)


def _limit_c(tree: Tree, folder: str) -> float | None:
    limits = []
    for trip in tree.find(folder, "trip_point_*_type"):
        limit = tree.number(f"{trip.removesuffix('_type')}_temp")
        if limit and limit > 0 and tree.text(trip) in _SLOWING:
            limits.append(limit / 1000)
    return min(limits, default=None)


def _hwmon(tree: Tree) -> Iterator[tuple[str, str, float | None]]:
    """The whole package of Intel's CPUs, not every core; what AMD's have."""
    for folder in tree.find("sys/class/hwmon", "hwmon*"):
        driver = tree.text(f"{folder}/name")
        for path in tree.find(folder, "temp*_input") if driver in _CPU_SENSORS else ():
            label = tree.text(path.removesuffix("_input") + "_label") or ""
            if not label.startswith("Core "):
                crit = tree.number(path.removesuffix("_input") + "_crit")
                yield f"{driver} {label[:64]}".strip(), path, crit / 1000 if crit and crit > 0 else None


def _edge_tpus(tree: Tree) -> Iterator[tuple[str, str, float | None]]:
    """Those on PCIe, whose driver slows them down by trip points of its own."""
    for folder in tree.find("sys/class/apex", "apex_*"):
        limits = [limit for path in tree.find(folder, "trip_point*_temp") if (limit := tree.number(path)) and limit > 0]
        yield folder.rpartition("/")[2][:64], f"{folder}/temp", min(limits, default=0) / 1000 or None


def _switched_off(trouble: Exception) -> bool:
    return isinstance(trouble, OSError) and not isinstance(trouble, PermissionError)
