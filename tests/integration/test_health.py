"""What a running device says of its health: over MQTT, in files, to Prometheus, and by `edgemass status`."""

from __future__ import annotations

import json
import re
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from edgemass.cli import main
from edgemass.cli import state as states
from edgemass.health import Place
from edgemass.health.collecting import Collectors
from edgemass.health.metrics import METRICS
from edgemass.health.prometheus import render
from edgemass.health.tree import Tree
from edgemass.messages.health import Cpu, GovernorHealth, QueueHealth, System
from tests import schemas
from tests.documents import health_message
from tests.simulators.broker import Broker, Listener, free_port, wait_until
from tests.simulators.daemon import Daemon, edgemass
from tests.simulators.manual_clock import ManualClock
from tests.simulators.prometheus import Prometheus, promtool

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ROOT / "tests" / "data" / "boards"
DASHBOARD = ROOT / "docs" / "grafana" / "edgemass.json"
HEALTH = "edgemass/v1/pi/health"
PATIENCE_S = 60.0
SECRET = "hunter2"

pytestmark = pytest.mark.runtime


class Device:
    """A daemon with one made-up camera and a health document every second, which knows its rates as soon."""

    def __init__(self, folder: Path, *sinks: str, more: str = "") -> None:
        self.state = folder / "state"
        self.textfile = folder / "edgemass.prom"
        config = folder / "edgemass.toml"
        addresses = json.dumps([f"jsonl:{folder / 'out.jsonl'}", *sinks])
        config.write_text(
            f'device = "pi"\nstate = "{self.state}"\ntune = false\nsinks = {addresses}\n'
            f'[health]\nevery_s = 1\ntextfile = "{self.textfile}"\n'
            '[cameras.door]\nsource = "synthetic:?width=320&height=240&fps=20"\nrealtime = true\nmax_fps = 5\n' + more
        )
        self.daemon = Daemon(folder, "--config", str(config), module="tests.simulators.brief_health")

    @property
    def status(self) -> dict[str, Any]:
        """The newest document, {} before the first."""
        try:
            found = json.loads((states.runtime(str(self.state)) / "status.json").read_bytes())
        except FileNotFoundError:
            return {}
        return dict(found)

    def wait_for(self, what: Callable[[dict[str, Any]], object], reason: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def arrived() -> object:
            nonlocal found
            found = self.status
            return found and what(found)

        wait_until(arrived, reason, PATIENCE_S)
        return found


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Exit code and all that `edgemass status` says of the device in this folder."""

    def status(*more: str) -> tuple[int, str]:
        code = main(["status", "--state", str(tmp_path / "state"), *more])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return status


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def full() -> str:
    """The metrics of a Raspberry Pi in trouble that has all that a device can have."""

    def read(board: str) -> System:
        return Collectors(Place(clock=ManualClock(), state=ROOT, tree=Tree(root=BOARDS / board))).collect()

    pi, jetson = read("raspberry-pi-4"), read("jetson-nano")
    system = msgspec.structs.replace(
        pi, temperature=jetson.temperature, power=jetson.power, cpu=Cpu(4, 0.5, 0.25, load_1m=1.5)
    )
    queue = QueueHealth(messages=3, size_bytes=900, limit_bytes=1 << 20, oldest_s=4.5, dropped={"expired": 1})
    governor = GovernorHealth(level=1, fps_ratio=0.75, reason="82 °C")
    return render(health_message(system=system, queues={"mqtt": queue}, governor=governor))


@pytest.mark.broker
def test_a_device_says_how_it_is_over_mqtt_and_anew_when_the_broker_is_back(tmp_path: Path, broker: Broker) -> None:
    device = Device(tmp_path, broker.url)
    with device.daemon:
        device.wait_for(
            lambda it: it["ready"] and it["outputs"]["mqtt"]["connected"] and it["cameras"]["door"].get("quality"),
            "ready, for long enough to have rates",
        )
        with Listener(broker, HEALTH) as listener:
            wait_until(lambda: listener.payloads(HEALTH), "the retained health")
            document = json.loads(listener.payloads(HEALTH)[-1])
        jsonschema.validate(document, json.loads(schemas.files()["edgemass.health.1.json"]))
        camera, model = document["cameras"]["door"], document["models"]["main"]
        assert (camera["state"], camera["quality"], camera["fps_asked"]) == ("online", "excellent", 5.0)
        under_way = camera["frames_captured"] - camera["frames_processed"] - sum(camera["dropped"].values())
        assert -2 <= under_way <= 3  # counters go on while the others are read
        assert model["digest"].startswith("sha256:")
        assert model["backend"] == model["requested"]
        broker.kill()
        away = device.wait_for(lambda it: not it["outputs"]["mqtt"]["connected"], "the broker to be missed")
        assert any(problem.startswith("mqtt: ") for problem in away["problems"])
        broker.start()
        with Listener(broker, HEALTH) as listener:
            wait_until(lambda: listener.payloads(HEALTH), "the health anew", PATIENCE_S)
            assert json.loads(listener.payloads(HEALTH)[-1])["seq"] > document["seq"]


def test_status_tells_of_a_daemon_that_runs_was_killed_and_ended(
    tmp_path: Path, ask: Callable[..., tuple[int, str]]
) -> None:
    device = Device(tmp_path, f"mqtt://me:{SECRET}@127.0.0.1:{free_port()}")
    code, text = ask()
    assert code == 1
    assert "no daemon runs" in text
    with device.daemon:
        device.wait_for(lambda it: it["ready"] and it["outputs"]["mqtt"]["trouble"], "ready, without a broker")
        code, text = ask()
        assert code == 1
        assert re.search(r"camera door +online", text)
        assert re.search(r"problems .*mqtt: nothing listens|\n +mqtt: nothing listens", text)
        code, text = ask("--json")
        assert json.loads(text)["device"] == "pi"
        everything = device.textfile.read_text() + text + device.daemon.err
        assert SECRET not in everything
        killed = device.status["run_id"]
        device.daemon.end(signal.SIGKILL)
        code, text = ask()
        assert code == 1
        assert "no daemon runs, it ended without a word" in text
    with device.daemon:
        device.wait_for(lambda it: it["ready"] and it["run_id"] != killed, "ready again")
        assert device.daemon.end() == 0
    assert device.status == {}
    assert not device.textfile.exists()


def test_a_second_daemon_leaves_the_first_ones_status_alone(tmp_path: Path) -> None:
    first, second = Device(tmp_path), tmp_path / "second"
    second.mkdir()
    with first.daemon:
        run_id = first.wait_for(lambda it: it["ready"], "ready")["run_id"]
        done = edgemass("run", "--state", str(first.state), "--camera", "synthetic:?frames=3", "--sink", "jsonl:-")
        assert first.status["run_id"] == run_id
        assert first.daemon.running
        assert done.returncode in (0, 1)  # the store of models is held too


@pytest.mark.prometheus
def test_prometheus_has_nothing_to_say_about_the_metrics() -> None:
    assert promtool("check", "metrics", text=full()) == ""
    assert {metric.name for metric in METRICS} - set(re.findall(r"^# TYPE (\w+)", full(), re.MULTILINE)) <= {
        "edgemass_process_memory_growth_bytes_per_second",  # after a quarter of an hour
        "edgemass_disk_budget_bytes",
        "edgemass_power_supply_active",
    }


@pytest.mark.prometheus
def test_every_query_of_the_dashboard_finds_something(tmp_path: Path) -> None:
    pytest.importorskip("starlette", reason="needs the extra http")
    page = f"127.0.0.1:{free_port()}"
    device = Device(tmp_path, more=f'[http]\nlisten = "{page}"\n')
    with device.daemon:
        device.wait_for(lambda it: it["ready"] and it["seq"] > 2, "ready")
        assert promtool("check", "metrics", text=device.textfile.read_text()) == ""
        for probe in ("healthz", "readyz"):
            with urllib.request.urlopen(f"http://{page}/{probe}", timeout=10) as answer:
                assert answer.status == 200
        with Prometheus(tmp_path / "prometheus", {"pi": page, "pi4": full}) as prometheus:
            frames = 'rate(edgemass_camera_frames_processed_total{instance="pi"}[1m]) > 0'
            wait_until(
                lambda: len(prometheus.query("count_over_time(edgemass_ready[1m]) > 3")) == 2, "both", PATIENCE_S
            )
            wait_until(lambda: prometheus.query(frames), "frames between two scrapes", PATIENCE_S)
            for expression in expressions():
                asked = expression.replace("$__rate_interval", "1m").replace("$instance", "pi.*")
                assert prometheus.query(asked), expression
            (alive,) = prometheus.query(frames)
            assert alive["metric"]["camera"] == "door"


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    known = {metric.name for metric in METRICS}
    known |= {
        f"{metric.name}_{part}"
        for metric in METRICS
        if metric.kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    asked = {name for expression in expressions() for name in re.findall(r"edgemass_\w+", expression)}
    assert len(expressions()) > 20
    assert asked <= known
