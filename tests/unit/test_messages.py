from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from edgemass.messages import (
    CameraState,
    ClassificationMessage,
    ClassScore,
    Detection,
    DetectionMessage,
    FrameSize,
    Latency,
    ModelRef,
    to_json,
)
from tests import schemas

COMMON: dict[str, Any] = {
    "device": "pi-7f3a",
    "camera": "door",
    "seq": 1841,
    "run_id": "5f0c",
    "boot_id": "00000000-0000-0000-0000-000000000000",
    "mono_ns": 12_345,
    "time": "2026-11-22T10:15:02.118Z",
    "clock_synced": True,
    "frame": FrameSize(1280, 720),
    "model": ModelRef("tiny", "1.0", "sha256:00", "fp32"),
    "backend": "litert/xnnpack",
    "latency_ms": Latency(1.2, 31.0, 34.9),
}
FOUND = DetectionMessage(detections=[Detection("person", 0, 0.91, (0.12, 0.3, 0.25, 0.88), track_id=7)], **COMMON)
EMPTY = DetectionMessage(detections=[], **COMMON)
CLASSES = ClassificationMessage(classes=[ClassScore("tabby", 281, 0.83)], **COMMON)
STATE = CameraState("offline", "no frame for 10 s", "2026-11-22T10:15:02.118Z")

DOCUMENTS = [
    (FOUND, "edgemass.detection.1.json"),
    (EMPTY, "edgemass.detection.1.json"),
    (CLASSES, "edgemass.classification.1.json"),
    (STATE, "edgemass.camera-state.1.json"),
]


def schema(name: str) -> Any:
    document = json.loads((schemas.FOLDER / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    return document


def test_checked_in_schemas_are_what_the_types_say() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in schemas.FOLDER.iterdir()}
    assert found == schemas.files(), "run: python -m tests.schemas"


@pytest.mark.parametrize(("message", "name"), DOCUMENTS)
def test_documents_fit_their_schema(message: Any, name: str) -> None:
    jsonschema.validate(json.loads(to_json(message)), schema(name))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "edgemass.detection/2"},
        {"seq": 0},
        {"time": "2026-11-22 10:15:02"},
        {"detections": [{"label": "person", "class_id": 0, "score": 1.5, "box": [0, 0, 1, 1]}]},
        {"detections": [{"label": "person", "class_id": 0, "score": 0.5, "box": [0, 0, 1]}]},
        {"detections": [{"label": "person", "class_id": 0, "score": 0.5, "box": [0, 0, 100, 1]}]},
    ],
)
def test_schema_refuses_what_no_device_may_send(change: dict[str, Any]) -> None:
    document = {**json.loads(to_json(FOUND)), **change}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema("edgemass.detection.1.json"))


@pytest.mark.parametrize("missing", ["schema", "seq", "boot_id", "frame", "detections"])
def test_schema_misses_fields_that_are_not_there(missing: str) -> None:
    document = json.loads(to_json(FOUND))
    del document[missing]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema("edgemass.detection.1.json"))


@pytest.mark.parametrize(("message", "name"), DOCUMENTS)
def test_readers_of_today_accept_fields_of_tomorrow(message: Any, name: str) -> None:
    jsonschema.validate({**json.loads(to_json(message)), "from_the_future": 1}, schema(name))


def test_a_document_is_one_line_and_names_its_schema() -> None:
    line = to_json(FOUND)
    assert b"\n" not in line
    assert json.loads(line)["schema"] == "edgemass.detection/1"
    assert json.loads(to_json(CLASSES))["schema"] == "edgemass.classification/1"


def test_track_id_is_left_out_where_no_tracker_runs() -> None:
    message = DetectionMessage(detections=[Detection("cat", 1, 0.5, (0, 0, 1, 1))], **COMMON)
    assert "track_id" not in json.loads(to_json(message))["detections"][0]


def test_asyncapi_leads_from_every_operation_to_a_schema() -> None:
    document = json.loads((schemas.FOLDER / "asyncapi.json").read_text(encoding="utf-8"))

    def follow(reference: str) -> Any:
        if reference.startswith("./"):
            return schema(reference[2:])
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]
        return node

    for operation in document["operations"].values():
        channel = follow(operation["channel"]["$ref"])
        named = set(re.findall(r"{(\w+)}", channel["address"]))
        assert named == set(channel["parameters"])
        assert all(follow(parameter["$ref"]) for parameter in channel["parameters"].values())
        for reference in channel["messages"].values():
            payload = follow(reference["$ref"])["payload"]
            assert (
                follow(payload["$ref"])
                if "$ref" in payload
                else payload.keys() & {"enum", "required", "pattern", "format"}
            )
