"""What cameras left retained on brokers, and nobody may take for true any more: taken back, also by a later process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from edgemass.clock import Clock
from edgemass.config import CameraConfig
from edgemass.pipeline.ledger import Entry, Ledger
from edgemass.scene.scene import FRAME
from edgemass.sinks import Channel

NAME = "told.json"
MOST_GONE = 50
"""Cameras that are gone are cleared at every start, for a broker that was away when they went; the last so many."""

MOST_FORMER = 5
"""Earlier names of the device that are looked for, where a broker was away since."""

Levels = tuple[str, ...]


class Told(msgspec.Struct):
    """camera -> labels at their places. cameras: that are there. gone: that were there; the one gone first is first.

    device: its name. former: other names that it had, and under which a broker may still keep something; the last one
    is last.
    """

    cameras: dict[str, Entry] = {}
    gone: dict[str, Entry] = {}
    device: str = ""
    former: list[str] = []


class Leftovers:
    """Of one board, by its name `device`. shown: a name of it -> where others find it by that. For one thread."""

    def __init__(
        self, folder: Path, channels: Sequence[Channel], clock: Clock, *, device: str, shown: Callable[[str], str]
    ) -> None:
        self._channels = channels
        self._ledger = Ledger(folder / NAME, Told, "what brokers were told", clock, every_s=0)
        self._told = self._ledger.read() or Told()
        self._device = device
        self._shown = shown
        self._lock = threading.Lock()
        self._owing: dict[str, int] = {}
        """Earlier name -> channels that have not taken it back yet."""

    def begin(self, cameras: Mapping[str, Entry]) -> None:
        """These cameras are there now: take back what others left."""
        for name, entry in cameras.items():
            self._told.gone.pop(name, None)
            self._told.cameras[name] = joined(self._told.cameras.get(name), entry)
        for name in self._told.cameras.keys() - cameras.keys():
            self._told.gone[name] = self._told.cameras.pop(name)
        for name, entry in self._told.gone.items():
            self._take_back(name, everything(entry))
        self._rename()
        self._keep()

    def _rename(self) -> None:
        """Leave the names that this device had before."""
        former = [name for name in (*self._told.former, self._told.device) if name not in ("", self._device)]
        self._told.former = list(dict.fromkeys(former))[-MOST_FORMER:]
        self._told.device = self._device
        self._owing = dict.fromkeys(self._told.former, len(self._channels))
        for name in self._owing:
            for channel in self._channels:
                channel.vacate(name, self._shown(name), partial(self._vacated, name))

    def _vacated(self, name: str) -> None:
        """In a thread of a channel's."""
        with self._lock:
            self._owing[name] -= 1

    def here(self, name: str, camera: CameraConfig, entry: Entry) -> None:
        """A camera begins, or goes on otherwise: take back what it will not say again.

        That is pictures that nobody may see, and numbers of zones and lines that are gone. entry: what is known of it.
        """
        self._told.gone.pop(name, None)
        self._told.cameras[name] = entry = joined(self._told.cameras.get(name), entry)
        self._take_back(name, no_longer(camera, entry))
        self._keep()

    def gone(self, name: str, entry: Entry) -> None:
        """A camera is taken out for good."""
        known = joined(self._told.cameras.pop(name, None), entry)
        self._told.gone[name] = known
        self._take_back(name, everything(known))
        self._keep()

    def tick(self) -> None:
        """Note the names that brokers have taken back meanwhile."""
        with self._lock:
            done = any(not self._owing.get(name, 1) for name in self._told.former)
        if done:
            self._keep()

    def _take_back(self, camera: str, leaves: Iterator[Levels]) -> None:
        for levels in leaves:
            for channel in self._channels:
                channel.clear("camera", camera, *levels)

    def _keep(self) -> None:
        if not self._channels:
            return  # a broker that is not asked today is told another day
        with self._lock:
            self._told.former = [name for name in self._told.former if self._owing.get(name, 1)]
        self._told.gone = dict(list(self._told.gone.items())[-MOST_GONE:])
        with contextlib.suppress(OSError):
            self._ledger.write(self._told, now=True)


def everything(entry: Entry) -> Iterator[Levels]:
    """All that is retained of a camera, below its name."""
    yield from (("state",), ("settings",), ("snapshot",))
    yield from (("snapshot", label) for label in labels(entry))
    for zone, known in entry.known.items():
        place: Levels = ("zone", zone, "count") if zone != FRAME else ("count",)
        yield from ((*place, label) for label in known)
    for line, total in entry.lines.items():
        yield from ((("line", line, way, label)) for way, crossed in total.items() for label in crossed)


def no_longer(camera: CameraConfig, entry: Entry) -> Iterator[Levels]:
    """What is retained of a camera that goes on and will not be said again."""
    if camera.counts_only or camera.masks or camera.events_config.snapshots == "none":
        yield from (("snapshot", label) for label in labels(entry))
    if camera.counts_only or camera.masks:
        yield ("snapshot",)
    for zone, known in entry.known.items():
        if zone not in (FRAME, *camera.zones):
            yield from (("zone", zone, "count", label) for label in known)
    for line, total in entry.lines.items():
        if line not in camera.lines:
            yield from ((("line", line, way, label)) for way, crossed in total.items() for label in crossed)


def labels(entry: Entry) -> list[str]:
    """That were seen anywhere."""
    return sorted({label for known in entry.known.values() for label in known})


def joined(one: Entry | None, other: Entry) -> Entry:
    """What either knows; counts of the latter."""
    if one is None:
        return other
    known = {
        place: list(dict.fromkeys([*one.known.get(place, ()), *other.known.get(place, ())]))
        for place in {**one.known, **other.known}
    }
    return Entry(lines={**one.lines, **other.lines}, known=known)
