"""docs/node-red/edgemass-flow.json: it hangs together, and its functions understand what edgemass sends."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgemass.messages import EventMessage, to_json
from edgemass.sinks.mqtt import PREFIX
from tests.documents import health_message

FLOW = Path(__file__).resolve().parents[2] / "docs" / "node-red" / "edgemass-flow.json"
NODES: dict[str, dict[str, Any]] = {node["id"]: node for node in json.loads(FLOW.read_text(encoding="utf-8"))}
STAMP = "2026-11-26T10:15:02.118Z"
RUN = """
const [code, message] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const found = new Function("msg", "node", code)(message, {status: () => {}});
console.log(JSON.stringify(found === undefined ? null : found));
"""


def asked(node: str, topic: str, payload: Any) -> Any:
    """What a function node makes of a message; None where it lets nothing through."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node.js: apt-get install nodejs")
    message = json.dumps([NODES[node]["func"], {"topic": topic, "payload": payload}])
    done = subprocess.run([program, "-e", RUN], input=message, capture_output=True, text=True, check=True, timeout=30)
    return json.loads(done.stdout)


def event(type_: Any, kind: Any, **more: Any) -> Any:
    seconds = more.pop("duration_s", 0.0)
    made = EventMessage(
        type=type_,
        kind=kind,
        id="gate-1",
        device="pi",
        camera="gate",
        seq=1,
        run_id="r",
        boot_id="b",
        mono_ns=1,
        time=STAMP,
        clock_synced=True,
        started=STAMP,
        duration_s=seconds,
        **more,
    )
    return json.loads(to_json(made))


def test_every_wire_ends_at_a_node_and_every_topic_is_one_of_ours() -> None:
    flow = json.loads(FLOW.read_text(encoding="utf-8"))
    assert len(NODES) == len(flow)
    for node in flow:
        assert all(end in NODES for ends in node.get("wires", ()) for end in ends), node["id"]
        assert node.get("z", "edgemass-tab") == "edgemass-tab"
        if node["type"].startswith("mqtt ") and node["topic"]:
            assert node["broker"] == "edgemass-broker"
            assert node["topic"].startswith((f"{PREFIX}/", "node-red/edgemass/"))
    (switch,) = [rule["to"] for rule in NODES["edgemass-which"]["rules"] if rule["p"] == "topic"]
    assert switch.startswith(f"{PREFIX}/")
    assert switch.endswith("/command/enabled")


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (event("new", "object", label="person"), "person is there"),
        (event("end", "object", label="person", duration_s=41.898), "person is gone after 42 s"),
        (event("new", "zone", label="person", zone="door"), "person is in door"),
        (event("end", "zone", label="person", zone="door", duration_s=3.2), "person left door after 3 s"),
        (event("end", "line", label="car", line="street", direction="in"), "car crossed street (in)"),
        (event("new", "camera", state="offline", reason="cable"), "is offline: cable"),
        (event("update", "camera", state="blind", reason="black"), "is blind: black"),
        (event("end", "camera", state="online", duration_s=60.0), "sees again after 60 s"),
    ],
)
def test_an_event_becomes_a_line_that_a_person_reads(document: Any, line: str) -> None:
    found = asked("edgemass-line", f"{PREFIX}/pi/camera/gate/events", document)
    assert found["payload"] == f"{STAMP} pi/gate: {line}"
    assert found["event"] == document


@pytest.mark.parametrize("payload", [event("update", "object", label="person"), {"schema": "other/1"}, ""])
def test_what_is_no_news_makes_no_line(payload: Any) -> None:
    assert asked("edgemass-line", f"{PREFIX}/pi/camera/gate/events", payload) is None


@pytest.mark.parametrize(("payload", "count"), [("6", 6), ("0", 0), ("unavailable", None)])
def test_a_count_is_a_number_or_nothing(payload: str, count: int | None) -> None:
    found = asked("edgemass-number", f"{PREFIX}/pi/camera/gate/count/person", payload)
    assert found["payload"] == {"device": "pi", "camera": "gate", "label": "person", "count": count}


def test_health_becomes_its_problems() -> None:
    document = json.loads(to_json(health_message()))
    found = asked("edgemass-problems", f"{PREFIX}/pi/health", document)
    assert found["topic"] == document["device"]
    assert found["payload"] == ("; ".join(document["problems"]) or "all is well")
    assert asked("edgemass-problems", f"{PREFIX}/pi/health", {**document, "problems": []})["payload"] == "all is well"
