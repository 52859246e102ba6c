"""How much power the board takes, where it measures that, and what feeds it."""

from __future__ import annotations

from edgemass.health import Place, Read
from edgemass.health.tree import Tree
from edgemass.messages.health import Power

# Rails of a Jetson's INA3221 that feed all others (Jetson Linux Developer Guide); without one its rails are added up.
_WHOLE = ("VDD_IN", "POM_5V_IN")
_MOST_WATTS = 1000.0


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return lambda: read(place.tree)


def read(tree: Tree) -> Power | None:
    """None where the board neither measures nor tells anything."""
    watts, feeds = watts_of(tree), supplies(tree)
    return None if watts is None and not feeds else Power(watts, feeds)


def watts_of(tree: Tree) -> float | None:
    """What the board's own meters say."""
    rails = {**_hwmon_rails(tree), **_iio_rails(tree)}
    rails = {name: watts for name, watts in rails.items() if 0 <= watts <= _MOST_WATTS}
    whole = next((rails[name] for name in _WHOLE if name in rails), None)
    if whole is None and rails:
        whole = sum(rails.values())
    return None if whole is None else round(whole, 3)


def supplies(tree: Tree) -> dict[str, bool]:
    """Name -> whether it feeds the board now: a battery by being drained, anything else by being there."""
    found = {}
    for folder in tree.find("sys/class/power_supply", "*"):
        name = folder.rpartition("/")[2][:64]
        if tree.text(f"{folder}/scope") == "Device":  # of a mouse or a keyboard
            continue
        if tree.text(f"{folder}/type") == "Battery":
            found[name] = tree.text(f"{folder}/status") == "Discharging"
        elif (online := tree.number(f"{folder}/online")) is not None:
            found[name] = online > 0
    return found


def _hwmon_rails(tree: Tree) -> dict[str, float]:
    """Rail -> watts: the INA3221 of JetPack 5 and 6 in mV and mA, single meters of its family in uW."""
    found = {}
    for folder in tree.find("sys/class/hwmon", "hwmon*"):
        driver = tree.text(f"{folder}/name") or ""
        if not driver.startswith("ina"):
            continue
        for path in tree.find(folder, "curr*_input"):
            channel = path.rpartition("/")[2].removeprefix("curr").removesuffix("_input")
            label = tree.text(f"{folder}/in{channel}_label")
            volts, amperes = tree.number(f"{folder}/in{channel}_input"), tree.number(path)
            if label and "sum" not in label.lower() and volts is not None and amperes is not None:
                found[label] = volts * amperes / 1e6
        microwatts = tree.number(f"{folder}/power1_input")
        if microwatts is not None:
            found[folder.rpartition("/")[2]] = microwatts / 1e6
    return found


def _iio_rails(tree: Tree) -> dict[str, float]:
    """The same of JetPack 4, in mW."""
    found = {}
    for path in tree.find("sys/bus/i2c/drivers/ina3221x", "*/iio:device*/in_power*_input"):
        folder, _, leaf = path.rpartition("/")
        channel = leaf.removeprefix("in_power").removesuffix("_input")
        name, milliwatts = tree.text(f"{folder}/rail_name_{channel}"), tree.number(path)
        if name and milliwatts is not None:
            found[name] = milliwatts / 1000
    return found
