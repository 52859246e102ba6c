"""A real Home Assistant takes the device up, shows it, commands it, and forgets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, final

import pytest

from tests.simulators.broker import Broker, Listener, free_port, wait_until
from tests.simulators.daemon import Daemon
from tests.simulators.tiny_detectors import yolo_v8

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = REPOSITORY / "build" / "home-assistant"
CONFIG = "homeassistant/device/pi/config"
CAMERA = """
[cameras.door]
source = "synthetic:?width=64&height=64&fps=10"
integrity = false
score = 1.0  # this model sees cats everywhere
[cameras.door.zones.yard]
points = [[0, 0], [1, 0], [1, 1], [0, 1]]
labels = ["cat"]
"""
TAKES_S = 60.0

pytestmark = [pytest.mark.broker, pytest.mark.runtime]


def write(folder: Path, broker: Broker, text: str) -> Path:
    path = folder / "edgemass.toml"
    model = folder / "tiny.onnx"
    if not model.exists():
        yolo_v8(model)
    path.write_text(
        f'device = "pi"\nmodel = "{model}"\nsinks = ["{broker.url}"]\ntune = false\n'
        f'state = "{folder / "state"}"\n{text}'
    )
    return path


def test_the_device_is_announced_retained_and_taken_back(tmp_path: Path, broker: Broker) -> None:
    with Listener(broker) as listener:
        with Daemon(tmp_path, "--config", str(write(tmp_path, broker, CAMERA))) as daemon:
            wait_until(lambda: listener.payloads(CONFIG), "it is announced")
            announced = json.loads(listener.payloads(CONFIG)[-1])
            assert announced["device"]["name"] == "pi"
            assert "camera-door-zone-yard-count-cat" in announced["components"]
            assert daemon.end() == 0
        with Listener(broker, CONFIG) as late:
            wait_until(lambda: late.heard(CONFIG), "it is retained")
        off = write(tmp_path, broker, f"home_assistant = {{ enabled = false }}\n{CAMERA}")
        with Daemon(tmp_path, "--config", str(off)):
            wait_until(lambda: listener.payloads(CONFIG)[-1] == b"", "it is taken back")


@final
class HomeAssistant:
    """The process, and a conversation with it."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        folder.mkdir()
        (folder / "configuration.yaml").touch()
        script = REPOSITORY / "tests" / "simulators" / "home_assistant_core.py"
        command = [str(ENVIRONMENT / "bin/python"), str(script), str(folder), str(broker.port), str(free_port())]
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._answer() == {"entry": "ConfigEntryState.LOADED"}

    def __enter__(self) -> HomeAssistant:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate("stop\n", timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()

    def told(self) -> dict[str, Any]:
        self._say("states")
        return self._answer()

    def state(self, entity: str) -> str | None:
        found = self.told()["states"].get(entity)
        return None if found is None else str(found[0])

    def call(self, domain: str, service: str, entity: str, **data: object) -> None:
        self._say(f"call {domain} {service} {json.dumps({'entity_id': entity, **data})}")
        assert self._answer() == {"called": True}

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_real_home_assistant_shows_commands_and_forgets_the_device(tmp_path: Path, broker: Broker) -> None:
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip(
            "no Home Assistant in build/home-assistant; sh tests/install-home-assistant.sh build/home-assistant"
        )
    path = write(tmp_path, broker, CAMERA)
    with HomeAssistant(tmp_path / "ha", broker) as home, Listener(broker) as listener:
        with Daemon(tmp_path, "--config", str(path)) as daemon:
            wait_until(lambda: home.state("sensor.pi_door_yard_cat_count") == "0", "a count is shown", TAKES_S)
            assert home.state("switch.pi_door") == "on"
            assert home.state("binary_sensor.pi_door_online") == "on"
            home.call("switch", "turn_off", "switch.pi_door")
            wait_until(lambda: home.state("switch.pi_door") == "off", "the switch follows", TAKES_S)
            wait_until(
                lambda: home.state("sensor.pi_door_yard_cat_count") == "unavailable",
                "nobody can know what a camera that is off would see",
                TAKES_S,
            )
            home.call("switch", "turn_on", "switch.pi_door")
            home.call("number", "set_value", "number.pi_door_threshold", value=0.42)
            wait_until(lambda: home.state("number.pi_door_threshold") == "0.42", "the threshold follows", TAKES_S)
            home.call("button", "press", "button.pi_door_snapshot")
            wait_until(lambda: home.state("image.pi_door_snapshot") != "unknown", "a picture is shown", TAKES_S)
            write(tmp_path, broker, CAMERA.replace("yard", "lawn"))
            os.kill(daemon.pid, signal.SIGHUP)
            wait_until(
                lambda: home.state("sensor.pi_door_lawn_cat_count") in {"0", "1"}, "another zone is shown", TAKES_S
            )
            entities = home.told()["entities"]
            assert not [entity for entity in entities if "yard" in entity], "the zone before is gone"
            assert daemon.end() == 0
        wait_until(lambda: home.state("switch.pi_door") == "unavailable", "a device that is off is shown so", TAKES_S)
        off = write(tmp_path, broker, f"home_assistant = {{ enabled = false }}\n{CAMERA}")
        with Daemon(tmp_path, "--config", str(off)):
            wait_until(lambda: listener.payloads(CONFIG)[-1] == b"", "it is taken back")
            wait_until(lambda: not home.told()["entities"], "nothing is left behind", TAKES_S)
            assert home.told()["devices"] == []
