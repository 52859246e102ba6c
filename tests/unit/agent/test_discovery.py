"""What Home Assistant is told of a device: every entity once, nothing that may not leave, and what is gone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgemass.agent import discovery
from edgemass.agent.discovery import CameraFacts, DeviceFacts
from edgemass.agent.home_assistant import HomeAssistant, camera_facts
from edgemass.config import CameraConfig
from edgemass.config.camera import MAX_FPS, MIN_FPS
from edgemass.config.home_assistant import HomeAssistantConfig
from edgemass.config.scene import EventsConfig
from edgemass.pipeline.ledger import Entry
from tests.simulators.manual_clock import ManualClock

DOOR = CameraFacts(name="door", labels=["person"], zones={"yard": ["car", "traffic light"]}, lines={"gate": ["person"]})
SECOND_NS = 1_000_000_000


class Channel:
    """Stands for a broker: what is retained there, and who listens."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.announced = 0
        self.repeated = 0
        self.listeners: dict[str, Callable[[bytes], None]] = {}

    def announce(self, topic: str, document: bytes) -> None:
        self.announced += 1
        self.retained[topic] = document

    def hear(self, topic: str, callback: Callable[[bytes], None]) -> None:
        self.listeners[topic] = callback

    def repeat(self) -> None:
        self.repeated += 1

    def retain(self, leaf: str, document: bytes) -> None: ...

    def vacate(self, device: str, shown: str, done: Callable[[], None]) -> None: ...

    def clear(self, *levels: str) -> None: ...

    def show(self, *levels: str, jpeg: bytes) -> None: ...

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None: ...

    def listen(self, leaf: str, callback: Callable[[bytes], None]) -> None: ...


class Board:
    """What is shown of it can change."""

    def __init__(
        self, folder: Path, *, enabled: bool = True, prefix: str = "homeassistant", device: str = "pi"
    ) -> None:
        self.facts = DeviceFacts(device=device, cameras=[DOOR])
        self.channel = Channel()
        self.clock = ManualClock()
        self.shown = HomeAssistant(
            HomeAssistantConfig(enabled=enabled, prefix=prefix),
            [self.channel],
            lambda: self.facts,
            file=folder / "home_assistant.json",
            clock=self.clock,
            draw=lambda least, _: least,
        )
        self.shown.start()
        self.look()

    def look(self) -> None:
        self.clock.advance(5)
        self.shown.tick()

    @property
    def components(self) -> dict[str, dict[str, object]]:
        document = msgspec.json.decode(self.channel.retained["homeassistant/device/pi/config"])
        components: dict[str, dict[str, object]] = document["components"]
        return components


def test_every_entity_has_a_platform_and_an_id_of_its_own() -> None:
    made = discovery.components(DeviceFacts(device="pi", cameras=[DOOR], slots=["main"], readings=["temperature"]))
    assert all(component["platform"] for component in made.values())
    assert len({component["unique_id"] for component in made.values()}) == len(made)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in made)
    assert {"camera-door-count-person", "camera-door-zone-yard-there-traffic_20_light", "model-main"} <= set(made)
    assert "temperature" in made


def test_no_picture_of_a_private_camera_is_announced() -> None:
    made = discovery.components(
        DeviceFacts(device="pi", cameras=[CameraFacts(name="door", labels=["person"], pictures=False)])
    )
    assert not [key for key, component in made.items() if component["platform"] == "image" or "snapshot" in key]


def test_a_model_of_a_thousand_classes_does_not_make_a_thousand_entities() -> None:
    camera = CameraFacts(name="door", labels=[f"label{number}" for number in range(1000)])
    assert len(discovery.components(DeviceFacts(device="pi", cameras=[camera]))) < 100


def test_names_that_look_alike_have_entities_of_their_own() -> None:
    odd = [
        CameraFacts(name="front", labels=["person"], zones={"door": ["person"]}),
        CameraFacts(name="front_door", labels=["person", "traffic light", "traffic_light", "人", "车"]),
        CameraFacts(name="front.door", labels=["person"]),
    ]
    alone = sum(len(discovery.components(DeviceFacts(device="pi", cameras=[camera]))) for camera in odd)
    shared = len(discovery.components(DeviceFacts(device="pi", cameras=[])))
    together = discovery.components(DeviceFacts(device="pi", cameras=odd))
    assert len(together) == alone - 2 * shared
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in together)


def test_a_device_with_a_dot_in_its_name_has_a_topic_that_home_assistant_takes() -> None:
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", discovery.topic("homeassistant", "pi.lan"))


def test_labels_that_are_named_are_shown_before_all_others() -> None:
    seen = Entry(known={"": [f"a{number}" for number in range(30)]})
    facts = camera_facts("door", CameraConfig(source="0", events=EventsConfig(labels=("person",))), seen)
    assert "camera-door-count-person" in discovery.components(DeviceFacts(device="pi", cameras=[facts]))


def test_nothing_is_announced_before_it_is_known_what_there_is(tmp_path: Path) -> None:
    Board(tmp_path)
    channel = Channel()
    early = HomeAssistant(
        HomeAssistantConfig(), [channel], lambda: None, file=tmp_path / "home_assistant.json", clock=ManualClock()
    )
    early.start()
    early.tick()
    assert not channel.retained


def test_what_is_the_same_is_said_once(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for _ in range(10):
        board.look()
    assert board.channel.announced == 1


def test_what_is_gone_is_told_with_its_platform_alone_also_after_a_restart(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert len(board.components["camera-door-there-person"]) > 1
    board.facts = DeviceFacts(device="pi", cameras=[])
    board.look()
    assert board.components["camera-door-there-person"] == {"platform": "binary_sensor"}
    again = Board(tmp_path)
    assert len(again.components["camera-door-there-person"]) > 1, "it came back"
    again.facts = DeviceFacts(device="pi", cameras=[])
    again.look()
    last = Board(tmp_path)
    last.facts = again.facts
    last.look()
    assert last.components["camera-door-there-person"] == {"platform": "binary_sensor"}


def test_its_birth_repeats_everything_some_seconds_later(tmp_path: Path) -> None:
    board = Board(tmp_path)
    hear = board.channel.listeners["homeassistant/status"]
    hear(b"offline")
    board.look()
    assert board.channel.repeated == 0
    hear(b"online")
    board.shown.tick()
    assert board.channel.repeated == 0, "not at once: of a fleet not all together"
    board.look()
    assert board.channel.repeated == 1


def test_switched_off_it_takes_back_what_was_announced(tmp_path: Path) -> None:
    Board(tmp_path)
    for _ in range(2):  # the broker may be away at the first
        off = Board(tmp_path, enabled=False)
        assert off.channel.retained == {"homeassistant/device/pi/config": b""}


def test_under_another_prefix_nothing_stays_behind(tmp_path: Path) -> None:
    Board(tmp_path)
    moved = Board(tmp_path, prefix="ha")
    assert moved.channel.retained["homeassistant/device/pi/config"] == b""
    assert moved.channel.retained["ha/device/pi/config"]
    again = Board(tmp_path, prefix="ha")  # the broker may have been away
    assert again.channel.retained["homeassistant/device/pi/config"] == b""
    back = Board(tmp_path)
    assert back.channel.retained["homeassistant/device/pi/config"]
    assert back.channel.retained["ha/device/pi/config"] == b""


def test_what_was_announced_under_an_earlier_name_is_left_with_the_name(tmp_path: Path) -> None:
    Board(tmp_path)
    renamed = Board(tmp_path, device="attic")  # another device may be called pi now; see Leftovers
    assert renamed.channel.retained.keys() == {"homeassistant/device/attic/config"}


def test_what_is_announced_was_noted_before_so_that_it_can_be_taken_back(tmp_path: Path) -> None:
    noted: list[bool] = []

    class Looks(Channel):
        def announce(self, topic: str, document: bytes) -> None:
            super().announce(topic, document)
            noted.append(topic.encode() in (tmp_path / "home_assistant.json").read_bytes())

    shown = HomeAssistant(
        HomeAssistantConfig(),
        [Looks()],
        lambda: DeviceFacts(device="pi", cameras=[DOOR]),
        file=tmp_path / "home_assistant.json",
        clock=ManualClock(),
    )
    shown.start()
    shown.tick()
    assert noted == [True]


@pytest.mark.parametrize("prefix", ["", "/", "a/#", "+"])
def test_a_prefix_that_is_no_topic_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="beginning of a topic"):
        HomeAssistantConfig(prefix=prefix)


@pytest.mark.parametrize("max_fps", [MIN_FPS, 0.05, 100, MAX_FPS])
def test_no_rate_that_a_camera_may_have_is_outside_of_what_home_assistant_takes(max_fps: float) -> None:
    CameraConfig(source="0", max_fps=max_fps)
    number = discovery.components(DeviceFacts(device="pi", cameras=[DOOR]))["camera-door-max_5f_fps"]
    assert number["min"] <= max_fps <= number["max"]
