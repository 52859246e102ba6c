"""Events and counts as a home automation sees them: a real daemon, a real camera stream, a real broker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.simulators.broker import Broker, Listener, wait_until
from tests.simulators.daemon import Daemon
from tests.simulators.rtsp_server import RtspServer

pytestmark = [pytest.mark.assets, pytest.mark.runtime, pytest.mark.broker]

SCHEMAS = Path(__file__).resolve().parents[2] / "edgemass" / "schemas"
BASE = "edgemass/v1/pi/camera/yard"
COUNT = f"{BASE}/count/person"
ZONE_COUNT = f"{BASE}/zone/lawn/count/person"
PATIENCE_S = 40.0
CONFIG = """
device = "pi"
model = "edgemass-person"
state = "{state}"
sinks = ["{broker}", "jsonl:{folder}/told.jsonl?only=events", "snapshots:{folder}/shots"]
tune = false
[cameras.yard]
source = "{source}"
realtime = true
events = {{ update_s = 1.0 }}
[cameras.yard.zones.lawn]
points = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
labels = ["person"]
[cameras.yard.lines.middle]
points = [[0.5, 0.0], [0.5, 1.0]]
[cameras.yard.rules.hello]
labels = ["person"]
every_s = 5
mqtt = {{ topic = "home/hello", payload = '{{"who": "{{label}}", "event": "{{event}}"}}' }}
[cameras.yard.rules.gone]
state = "offline"
mqtt = {{ topic = "home/gone", payload = "{{camera}} is {{state}}" }}
"""


@pytest.fixture
def stream(assets: Path) -> Iterator[RtspServer]:
    with RtspServer(file=assets / "videos" / "vtest.avi", size=(768, 576), fps=10) as started:
        yield started


def config_file(folder: Path, broker: Broker, source: object) -> Path:
    path = folder / "board.toml"
    text = CONFIG.format(broker=broker.url, folder=folder, state=folder / "state", source=source)
    path.write_text(text, encoding="utf-8")
    return path


def events(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in listener.payloads(f"{BASE}/events")]


def last(listener: Listener, topic: str) -> bytes:
    return (listener.payloads(topic) or [b""])[-1]


def people(listener: Listener, topic: str = COUNT) -> bool:
    return last(listener, topic).isdigit() and int(last(listener, topic)) > 0


def test_events_counts_pictures_and_rules_of_a_clip_are_as_the_schemas_say(
    assets: Path, broker: Broker, tmp_path: Path
) -> None:
    config = config_file(tmp_path, broker, assets / "videos" / "vtest.avi")
    with Listener(broker) as listener, Daemon(tmp_path, "--config", str(config), "--frames", "60") as daemon:
        assert daemon.wait(90) == 0, daemon.err
        wait_until(lambda: last(listener, "edgemass/v1/pi/availability") == b"offline", "all is said")
        told, heard = events(listener), listener.heard()
        assert people_were_counted(listener)
    event_schema = json.loads((SCHEMAS / "edgemass.event.1.json").read_text(encoding="utf-8"))
    counts_schema = json.loads((SCHEMAS / "edgemass.counts.1.json").read_text(encoding="utf-8"))
    for event in told:
        jsonschema.validate(event, event_schema)
    lines = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line for line in lines if line["schema"] == "edgemass.event/1"] == told
    counts = [line for line in lines if line["schema"] == "edgemass.counts/1"]
    for line in counts:
        jsonschema.validate(line, counts_schema)
    stories: dict[str, list[str]] = {}
    for event in told:
        stories.setdefault(event["id"], []).append(event["type"])
    assert all(story == ["end"] or (story[0], story[-1]) == ("new", "end") for story in stories.values())
    assert [event["seq"] for event in told] == list(range(1, len(told) + 1))
    assert {event["kind"] for event in told} >= {"object", "zone"}
    snapshots = [message for message in heard if message.topic == f"{BASE}/snapshot/person"]
    assert snapshots
    assert all(message.payload[:2] == b"\xff\xd8" and len(message.payload) <= 64 * 1024 for message in snapshots)
    assert len([event for event in told if "snapshot" in event]) == len(snapshots)
    assert list((tmp_path / "shots").glob("yard-*-event*.jpg"))
    hello = [json.loads(message.payload) for message in heard if message.topic == "home/hello"]
    assert hello
    assert hello[0]["who"] == "person"
    assert hello[0]["event"] in stories


def people_were_counted(listener: Listener) -> bool:
    numbers = [payload for payload in listener.payloads(COUNT) if payload.isdigit()]
    in_zone = [payload for payload in listener.payloads(ZONE_COUNT) if payload.isdigit()]
    return max(map(int, numbers)) >= 2 and max(map(int, in_zone)) >= 2


@pytest.mark.rtsp
def test_counts_are_unavailable_while_the_camera_is_away_and_the_broker_finds_all_anew(
    broker: Broker, stream: RtspServer, tmp_path: Path
) -> None:
    config = config_file(tmp_path, broker, stream.address)
    with Daemon(tmp_path, "--config", str(config)) as daemon:
        with Listener(broker) as listener:
            wait_until(lambda: people(listener) and people(listener, ZONE_COUNT), "people are counted", PATIENCE_S)
            stream.kill()
            wait_until(
                lambda: last(listener, COUNT) == last(listener, ZONE_COUNT) == b"unavailable",
                "nobody knows",
                PATIENCE_S,
            )
            wait_until(lambda: events(listener)[-1]["kind"] == "camera", "an outage", PATIENCE_S)
            assert (events(listener)[-1]["type"], events(listener)[-1]["state"]) == ("new", "offline")
            wait_until(lambda: last(listener, "home/gone") == b"yard is offline", "the rule of the outage")
        broker.kill()
        broker.start()
        with Listener(broker) as listener:
            wait_until(lambda: last(listener, COUNT) == b"unavailable", "retained anew", PATIENCE_S)
            stream.start()
            wait_until(lambda: people(listener), "people are counted again", PATIENCE_S)
            assert [event["type"] for event in events(listener) if event["kind"] == "camera"] == ["end"]
        broker.kill()
        broker.start()
        with Listener(broker) as listener:
            wait_until(lambda: people(listener) and people(listener, ZONE_COUNT), "counts for a new broker", PATIENCE_S)
            wait_until(
                lambda: last(listener, f"{BASE}/snapshot/person")[:2] == b"\xff\xd8", "and the picture", PATIENCE_S
            )
        with Listener(broker) as late:
            wait_until(lambda: people(late), "who comes later finds it")
            assert late.heard(COUNT)[0].retain
        assert daemon.end(signal.SIGTERM) == 0, daemon.err
    with Listener(broker) as late:
        wait_until(lambda: last(late, COUNT) == b"unavailable", "after the end nobody knows")


def on_disk(folder: Path) -> bool:
    """Whether a person was seen anywhere in the picture, as far as the next run will know."""
    files = [json.loads(path.read_text()) for path in folder.glob("*.counts.json")]
    return any("person" in file["known"].get("", ()) for file in files)


@pytest.mark.rtsp
def test_what_a_killed_run_left_behind_is_no_longer_said_once_the_next_one_starts(
    broker: Broker, stream: RtspServer, tmp_path: Path
) -> None:
    config = config_file(tmp_path, broker, stream.address)
    kept = tmp_path / "state" / "scene"
    with Daemon(tmp_path, "--config", str(config)) as daemon, Listener(broker) as listener:
        wait_until(lambda: people(listener), "people are counted", PATIENCE_S)
        wait_until(lambda: on_disk(kept), "on disk", PATIENCE_S)
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait(10)
    stream.kill()
    with Listener(broker) as late:
        wait_until(lambda: people(late), "it is still said")
        with Daemon(tmp_path, "--config", str(config)) as daemon:
            wait_until(lambda: last(late, COUNT) == b"unavailable", "nothing is known yet", PATIENCE_S)
            stream.start()
            wait_until(lambda: people(late), "until there is", PATIENCE_S)
            assert daemon.end() == 0, daemon.err


@pytest.mark.rtsp
def test_pictures_and_zones_of_an_earlier_run_are_taken_from_the_broker_when_they_are_no_longer_wanted(
    broker: Broker, stream: RtspServer, tmp_path: Path
) -> None:
    config = config_file(tmp_path, broker, stream.address)
    picture = f"{BASE}/snapshot/person"
    with Daemon(tmp_path, "--config", str(config)) as daemon, Listener(broker) as listener:
        wait_until(lambda: last(listener, picture) != b"" and last(listener, ZONE_COUNT) != b"", "seen", PATIENCE_S)
        assert daemon.end() == 0, daemon.err
    text = (
        config.read_text().replace("zones.lawn", "zones.grass").replace("events = { update_s = 1.0 }", "events = true")
    )
    config.write_text(
        text.replace("realtime = true", "realtime = true\nmasks = [[[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]]]")
    )
    with Listener(broker) as before:
        wait_until(lambda: last(before, picture) != b"" and last(before, ZONE_COUNT) != b"", "still there")
        stream.kill()
        with Daemon(tmp_path, "--config", str(config)) as daemon:
            wait_until(lambda: last(before, picture) == b"" and last(before, ZONE_COUNT) == b"", "cleared", PATIENCE_S)
            assert daemon.end() == 0, daemon.err
    with Listener(broker) as late:
        wait_until(lambda: last(late, f"{BASE}/state") != b"", "what is retained")
        assert last(late, picture) == b""
        assert last(late, ZONE_COUNT) == b""


@pytest.mark.rtsp
def test_a_reload_takes_zones_lines_and_pictures_that_are_no_longer_wanted_from_the_broker(
    broker: Broker, stream: RtspServer, tmp_path: Path
) -> None:
    config = config_file(tmp_path, broker, stream.address)
    picture, crossed = f"{BASE}/snapshot/person", f"{BASE}/line/middle/in/person"
    with Daemon(tmp_path, "--config", str(config)) as daemon, Listener(broker) as listener:
        wait_until(
            lambda: all(last(listener, topic) for topic in (picture, ZONE_COUNT, crossed)), "all was seen", PATIENCE_S
        )
        text = config.read_text().replace("zones.lawn", "zones.grass").replace("lines.middle", "lines.border")
        config.write_text(text.replace("events = { update_s = 1.0 }", 'events = { snapshots = "none" }'))
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(
            lambda: "configuration read again: camera yard goes on with another" in daemon.err, "it was read again"
        )
        with Listener(broker) as late:
            wait_until(lambda: last(late, f"{BASE}/zone/grass/count/person") != b"", "what is retained")
            assert [last(late, topic) for topic in (picture, ZONE_COUNT, crossed)] == [b"", b"", b""]
        config.write_text(
            config.read_text().replace("zones.grass", "zones.earth").replace("realtime", "enabled = false\nrealtime")
        )
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: "camera yard is switched off" in daemon.err, "it was read again")
        with Listener(broker) as late:
            wait_until(lambda: b"disabled" in last(late, f"{BASE}/state"), "what is retained")
            assert last(late, f"{BASE}/zone/grass/count/person") == b""
        assert daemon.end() == 0, daemon.err
