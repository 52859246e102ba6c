"""Shows the device to Home Assistant: announces what there is, takes back what is gone, repeats it when asked."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from edgemass.agent import discovery
from edgemass.agent.discovery import CameraFacts, DeviceFacts
from edgemass.clock import Clock
from edgemass.config import CameraConfig
from edgemass.config.home_assistant import HomeAssistantConfig
from edgemass.pipeline.ledger import Entry, Ledger
from edgemass.scene.scene import FRAME
from edgemass.sinks import Channel

logger = logging.getLogger(__name__)

LOOK_S = 2.0
MOST_FORMER = 5
MOST_GONE = 200
"""Components that are gone are told of so many, for a Home Assistant that was not there when they went."""
BIRTH_PREFIX = "homeassistant"
"""Of its birth message, which has a setting of its own; this is what it is unless somebody changes it."""
JITTER_S = (1.0, 5.0)
"""After its birth: of a fleet not all at once."""


def camera_facts(name: str, camera: CameraConfig, kept: Entry) -> CameraFacts:
    """What there is to show of a camera. kept: labels that were seen, each at its place."""

    def labels(place: str, wanted: Sequence[str]) -> list[str]:
        return list(dict.fromkeys([*wanted, *sorted(kept.known.get(place, ()))]))  # named ones first: there is a limit

    lines = {line: {label for way in total.values() for label in way} for line, total in kept.lines.items()}
    return CameraFacts(
        name=name,
        labels=labels(FRAME, camera.events_config.labels),
        zones={zone: labels(zone, table.labels) for zone, table in camera.zones.items()},
        lines={
            line: list(dict.fromkeys([*table.labels, *sorted(lines.get(line, ()))]))
            for line, table in camera.lines.items()
        },
        pictures=not camera.counts_only,
    )


class Announced(msgspec.Struct):
    """What a Home Assistant may have taken up. present, gone: component -> platform; the one gone first is first.

    former: topics below other prefixes, where a broker may still keep it; the last one is last.
    """

    topic: str = ""
    former: list[str] = []
    present: dict[str, str] = {}
    gone: dict[str, str] = {}


class HomeAssistant:
    """One device's. `tick` is for one thread.

    facts: what there is to show, asked now and then; None while that is not known yet.
    """

    def __init__(
        self,
        config: HomeAssistantConfig,
        channels: Sequence[Channel],
        facts: Callable[[], DeviceFacts | None],
        *,
        file: Path,
        clock: Clock,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._config = config
        self._channels = channels
        self._facts = facts
        self._clock = clock
        self._draw = draw
        self._ledger = Ledger(file, Announced, "the entities that Home Assistant was told of", clock, every_s=0)
        self._before = self._ledger.read() or Announced()
        self._said = b""
        self._look_ns = 0
        self._born = threading.Event()
        self._repeat_ns: int | None = None

    def start(self) -> None:
        """Listen for its birth, or take back what an earlier run announced."""
        if self._config.enabled:
            for topic in {f"{prefix}/status" for prefix in (self._config.prefix.strip("/"), BIRTH_PREFIX)}:
                for channel in self._channels:
                    channel.hear(topic, self._hear)
        else:  # at every start, for the broker may be away at this one
            self._take_back(self._before.topic)

    def tick(self) -> None:
        """Announce what has changed, and everything anew some seconds after a birth."""
        now_ns = self._clock.monotonic_ns()
        if not self._config.enabled or not self._channels:
            return
        if self._born.is_set():
            self._born.clear()
            self._repeat_ns = now_ns + int(self._draw(*JITTER_S) * 1e9)
        if self._repeat_ns is not None and now_ns >= self._repeat_ns:
            self._repeat_ns = None
            for channel in self._channels:
                channel.repeat()
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + int(LOOK_S * 1e9)
            facts = self._facts()
            if facts is not None:
                self._announce(facts)

    def _announce(self, facts: DeviceFacts) -> None:
        topic = discovery.topic(self._config.prefix, facts.device)
        if not self._said:
            self._move(topic)
        present = {key: made["platform"] for key, made in discovery.components(facts).items()}
        left = {key: platform for key, platform in self._before.present.items() if key not in present}
        gone = {key: platform for key, platform in {**self._before.gone, **left}.items() if key not in present}
        gone = dict(list(gone.items())[-MOST_GONE:])
        document = msgspec.json.encode(discovery.document(facts, gone))
        if document == self._said:
            return
        self._said = document
        self._before = Announced(topic, self._before.former, present, gone)
        self._ledger.write(self._before, now=True)  # before anybody can have taken it up
        for channel in self._channels:
            channel.announce(topic, document)
        logger.debug("announced to Home Assistant", extra={"components": len(present), "gone": len(gone)})

    def _move(self, topic: str) -> None:
        """Leave other topics than this one. What lies under an earlier name of the device is left with that name."""
        prefix = topic.rpartition("/device/")[0]
        others = [each for each in (*self._before.former, self._before.topic) if each not in ("", topic)]
        former = [each for each in dict.fromkeys(others) if each.rpartition("/device/")[0] != prefix][-MOST_FORMER:]
        for each in former:  # at every start, for a broker may be away at this one
            self._take_back(each)
        self._before = msgspec.structs.replace(
            self._before if self._before.topic == topic else Announced(), topic=topic, former=former
        )

    def _take_back(self, topic: str) -> None:
        for channel in self._channels if topic else ():
            channel.announce(topic, b"")

    def _hear(self, payload: bytes) -> None:
        """In a thread of the channel's."""
        if payload == b"online":
            self._born.set()
