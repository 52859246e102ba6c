"""Writes edgemass/schemas/ from the types in `edgemass.messages`: python -m tests.schemas.

One JSON Schema (2020-12) for each public document, and an AsyncAPI 3 document of the topics. `test_messages.py` fails
when what is checked in is not what this makes.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from edgemass import messages
from edgemass.config import shown
from edgemass.messages import health
from edgemass.sinks import mqtt

FOLDER = Path(messages.__file__).parent.with_name("schemas")
DIALECT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: dict[str, type[msgspec.Struct]] = {  # name/version as in the document's `schema` -> type
    messages.DETECTION: messages.DetectionMessage,
    messages.CLASSIFICATION: messages.ClassificationMessage,
    messages.EVENT: messages.EventMessage,
    messages.COUNTS: messages.CountsMessage,
    "edgemass.camera-state/1": messages.CameraState,
    messages.DESIRED: messages.Desired,
    messages.REPORTED: messages.Reported,
    health.HEALTH: health.HealthMessage,
    health.ACCOUNT: health.AccountMessage,
}

_PARAMETERS = ("device", "camera", "slot", "label", "zone", "line", "run")
_SLOT = f"{mqtt.PREFIX}/{{device}}/slot/{{slot}}"
_CAMERA = f"{mqtt.PREFIX}/{{device}}/camera/{{camera}}"
CHANNELS: dict[str, tuple[str, str, str]] = {  # name -> topic, document or "text", what is sent
    "availability": (
        f"{mqtt.PREFIX}/{{device}}/availability",
        "text",
        "Retained, QoS 1: online or offline. Offline is the last will too.",
    ),
    "detections": (f"{_CAMERA}/detections", messages.DETECTION, "QoS 0: one for every processed frame."),
    "classification": (f"{_CAMERA}/classification", messages.CLASSIFICATION, "QoS 0: one for every processed frame."),
    "events": (f"{_CAMERA}/events", messages.EVENT, "QoS 1: when an object comes, on news of it, and when it goes."),
    "count": (
        f"{_CAMERA}/count/{{label}}",
        "count",
        "Retained, QoS 1: how many are there now; unavailable while nobody can know.",
    ),
    "zoneCount": (
        f"{_CAMERA}/zone/{{zone}}/count/{{label}}",
        "count",
        "Retained, QoS 1: how many are in the zone now; unavailable while nobody can know.",
    ),
    "lineIn": (f"{_CAMERA}/line/{{line}}/in/{{label}}", "total", "Retained, QoS 1: how many crossed inwards so far."),
    "lineOut": (
        f"{_CAMERA}/line/{{line}}/out/{{label}}",
        "total",
        "Retained, QoS 1: how many crossed outwards so far.",
    ),
    "snapshot": (
        f"{_CAMERA}/snapshot/{{label}}",
        "picture",
        "Retained, QoS 1: JPEG, the best picture of the newest object.",
    ),
    "cameraState": (
        f"{_CAMERA}/state",
        "edgemass.camera-state/1",
        "Retained, QoS 1, sent on every change and on every connect.",
    ),
    "health": (f"{mqtt.PREFIX}/{{device}}/health", health.HEALTH, "Retained, QoS 1, every so often."),
    "account": (
        f"{mqtt.PREFIX}/{{device}}/account/{{run}}",
        health.ACCOUNT,
        "Retained, QoS 1: where every event of one run went; the last eight final ones stay.",
    ),
    "reported": (
        f"{_SLOT}/reported",
        messages.REPORTED,
        "Retained, QoS 1, sent on every change of what a slot runs or of how far an update is, and on every connect.",
    ),
}
RECEIVED: dict[str, tuple[str, str, str]] = {  # the same of what a device subscribes to
    "desired": (
        f"{_SLOT}/desired",
        "envelope",
        "Retained, QoS 1: an order signed by the fleet. A DSSE envelope; its payload is edgemass.desired/1.",
    ),
}


def files() -> dict[str, str]:
    """File name -> content of everything in edgemass/schemas/."""
    made = {file_name(name): json_schema(name, kind) for name, kind in DOCUMENTS.items()}
    made["asyncapi.json"] = asyncapi()
    made[file_name(shown.SCHEMA)] = shown.schema()
    return {name: json.dumps(document, indent=2) + "\n" for name, document in made.items()}


def file_name(document: str) -> str:
    return document.replace("/", ".") + ".json"


def json_schema(name: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for title, component in components.items():
        named = getattr(messages, title, None) or getattr(health, title)
        component["description"] = " ".join(_docs(named))
    document = components.pop(kind.__name__)
    identity = {"$schema": DIALECT, "$id": "urn:" + name.replace(".", ":", 1).replace("/", ":")}
    return {**identity, **document, **({"$defs": components} if components else {})}


def _docs(kind: type[msgspec.Struct]) -> list[str]:
    """What a type and its bases say of their fields, each on one line, whatever Python makes of the indentation."""
    own = (base.__dict__.get("__doc__") for base in kind.__mro__ if base.__module__.startswith(messages.__name__))
    return [" ".join(inspect.cleandoc(text).split()) for text in own if text]


def asyncapi() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edgemass over MQTT",
            "version": "1.0.0",
            "description": "What a device publishes. MQTT 5, falling back to 3.1.1. Who reads accepts unknown fields.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, topic) for name, (topic, _, _) in {**CHANNELS, **RECEIVED}.items()},
        "operations": {
            f"publish{name[0].upper()}{name[1:]}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": summary,
            }
            for name, (_, _, summary) in CHANNELS.items()
        }
        | {
            f"receive{name[0].upper()}{name[1:]}": {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": summary,
            }
            for name, (_, _, summary) in RECEIVED.items()
        },
        "components": {
            "messages": {name: _message(document) for name, (_, document, _) in {**CHANNELS, **RECEIVED}.items()},
            "parameters": {
                "device": {"description": "The device's id, as in its documents, fit for a topic."},
                "slot": {"description": "A place for one model on the device; main unless configured otherwise."},
                "camera": {"description": "The camera's name, as in its documents, fit for a topic."},
                "label": {"description": "A label of the model, fit for a topic."},
                "zone": {"description": "A zone of the camera."},
                "line": {"description": "A line of the camera."},
                "run": {"description": "The run_id of the process that the events are of."},
            },
        },
    }


def _channel(name: str, topic: str) -> dict[str, Any]:
    parameters = [parameter for parameter in _PARAMETERS if f"{{{parameter}}}" in topic]
    return {
        "address": topic,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "parameters": {parameter: {"$ref": f"#/components/parameters/{parameter}"} for parameter in parameters},
    }


def _message(document: str) -> dict[str, Any]:
    if document == "text":
        words = [mqtt.ONLINE.decode(), mqtt.OFFLINE.decode()]
        return {"contentType": mqtt.TEXT, "payload": {"type": "string", "enum": words}}
    if document == "count":
        number = {"type": "string", "pattern": rf"^(\d+|{mqtt.UNAVAILABLE.decode()})$"}
        return {"contentType": mqtt.TEXT, "payload": number}
    if document == "total":
        return {"contentType": mqtt.TEXT, "payload": {"type": "string", "pattern": r"^\d+$"}}
    if document == "picture":
        return {"contentType": mqtt.JPEG, "payload": {"type": "string", "format": "binary"}}
    if document == "envelope":
        return {
            "contentType": mqtt.JSON,
            "payload": {"type": "object", "required": ["payload", "payloadType", "signatures"]},
        }
    return {"contentType": mqtt.JSON, "payload": {"$ref": f"./{file_name(document)}"}}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
