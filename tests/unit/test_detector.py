"""The detector with a runtime and a family made for the test: one float per pixel in, one box out."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest

from edgemass import families
from edgemass.detections import Detections
from edgemass.detector import Detector, Thresholds
from edgemass.errors import BundleError
from edgemass.manifest import AuxiliaryInput, InputSpec, Manifest, Nms, OutputSpec, Resize, StateTensor, Variant
from edgemass.tensors import AnyArray, Outputs, Tensor, TensorInfo


class ScriptedBackend:
    """Answers `boxes` (rows of x1, y1, x2, y2, score, class) and adds one to its state."""

    name = requested = "scripted"
    version = "1"

    def __init__(self, boxes: list[list[float]], *, stateful: bool = False, extra: tuple[TensorInfo, ...] = ()) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 6)
        state_in = (TensorInfo("h_in", (1, 2), "float32"),) if stateful else ()
        state_out = (TensorInfo("h_out", (1, 2), "float32"),) if stateful else ()
        self.inputs = (TensorInfo("image", (1, 100, 100, 3), "uint8"), *state_in, *extra)
        self.outputs = (TensorInfo("rows", (None, 6), "float32"), *state_out)
        self.seen: list[dict[str, AnyArray]] = []

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        self.seen.append({name: array.copy() for name, array in inputs.items()})
        answer = {"rows": Tensor(self.boxes)}
        return answer | ({"h_out": Tensor(inputs["h_in"] + 1)} if "h_in" in inputs else {})

    def close(self) -> None:
        pass


@pytest.fixture
def toy_family(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("toy_family")

    class Options(msgspec.Struct):
        pass

    def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> Any:
        families.role(manifest, outputs, "rows")

        def decode(found: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:  # noqa: ARG001
            rows = found["rows"].data
            rows = rows[rows[:, 4] > score_threshold]
            return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))

        return decode

    module.Options = Options  # type: ignore[attr-defined]
    module.prepare = prepare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_family", module)
    monkeypatch.setitem(families.FAMILIES, "toy", "toy_family")
    return module


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "toy",
        "task": "detection",
        "labels": ("a", "b"),
        "input": InputSpec(
            name="image", layout="NHWC", dtype="uint8", width=100, height=100, resize=Resize(rule="letterbox")
        ),
        "output": OutputSpec(family="toy", tensors={"rows": ("rows",)}, nms=Nms(iou=0.5)),
        "variants": (Variant(name="v", file="v.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
    }
    return Manifest(**{**fields, **changes})


PICTURE = np.zeros((100, 200, 3), np.uint8)  # lies in the letterbox at half size, 25 rows down


@pytest.mark.usefixtures("toy_family")
def test_boxes_come_back_in_frame_pixels_after_nms_and_thin_ones_are_dropped() -> None:
    backend = ScriptedBackend(
        [[10, 35, 30, 55, 0.9, 0], [11, 35, 30, 55, 0.8, 0], [10, 35, 30, 55, 0.7, 1], [0, 0, 100, 20, 0.6, 0]]
    )
    found = Detector(manifest(), backend).stream().detect(PICTURE, Thresholds(0.1)).found
    assert isinstance(found, Detections)
    assert found.xyxy.tolist() == [[20, 20, 60, 60], [20, 20, 60, 60]]
    assert found.class_id.tolist() == [0, 1]


@pytest.mark.usefixtures("toy_family")
def test_a_graph_without_nms_keeps_its_boxes_best_first() -> None:
    backend = ScriptedBackend([[0, 25, 50, 75, 0.5, 0], [0, 25, 50, 75, 0.9, 0]])
    output = OutputSpec(family="toy", tensors={"rows": ("rows",)})
    found = Detector(manifest(output=output), backend).stream().detect(PICTURE, Thresholds(0.1)).found
    assert found.score.tolist() == pytest.approx([0.9, 0.5])


@pytest.mark.usefixtures("toy_family")
def test_a_family_that_answers_in_frame_pixels_is_only_clipped(toy_family: types.ModuleType) -> None:
    toy_family.frame_space = True  # type: ignore[attr-defined]
    backend = ScriptedBackend([[10, 10, 500, 60, 0.9, 0]])
    found = Detector(manifest(), backend).stream().detect(PICTURE, Thresholds(0.1)).found
    assert isinstance(found, Detections)
    assert found.xyxy.tolist() == [[10, 10, 200, 60]]


@pytest.mark.usefixtures("toy_family")
def test_each_camera_has_a_memory_of_its_own_until_it_forgets() -> None:
    backend = ScriptedBackend([], stateful=True)
    state = (StateTensor(input="h_in", output="h_out", shape=(1, 2), dtype="float32"),)
    detector = Detector(manifest(state=state), backend)
    first, second = detector.stream(), detector.stream()
    for stream in (first, first, second, first):
        stream.detect(PICTURE, Thresholds(0.1))
    first.forget()
    first.detect(PICTURE, Thresholds(0.1))
    assert [float(seen["h_in"][0, 0]) for seen in backend.seen] == [0, 1, 0, 2, 0]


@pytest.mark.usefixtures("toy_family")
@pytest.mark.parametrize(
    ("role", "value"),
    [
        ("frame-size-wh", [200, 100]),
        ("frame-size-hw", [100, 200]),
        ("input-size-wh", [100, 100]),
        ("scale-factor-yx", [0.5, 0.5]),
        ("constant", [7, 7]),
    ],
)
def test_further_inputs_are_filled_by_their_role(role: Any, value: list[float]) -> None:
    backend = ScriptedBackend([], extra=(TensorInfo("size", (1, 2), "float32"),))
    extra = (AuxiliaryInput(name="size", role=role, dtype="float32", value=7.0),)
    Detector(manifest(auxiliary_inputs=extra), backend).stream().detect(PICTURE, Thresholds(0.1))
    assert backend.seen[0]["size"].tolist() == [value]


@pytest.mark.usefixtures("toy_family")
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"input": InputSpec(name="x", layout="NHWC", dtype="uint8", width=100, height=100)}, "the file wants image"),
        ({"input": InputSpec(name="image", layout="NHWC", dtype="int8", width=100, height=100)}, "uint8 in the file"),
        ({"input": InputSpec(name="image", layout="NHWC", dtype="uint8", width=64, height=64)}, "has shape"),
        ({"input": InputSpec(name="image", layout="NCHW", dtype="uint8", width=100, height=100)}, "has shape"),
        ({"output": OutputSpec(family="toy", tensors={"rows": ("nowhere",)})}, "no output named 'nowhere'"),
        ({"output": OutputSpec(family="toy", tensors={})}, "needs it"),
        ({"output": OutputSpec(family="none", tensors={})}, "unknown model family"),
        (
            {"state": (StateTensor(input="h", output="h2", shape=(1,), dtype="float32"),)},
            "the manifest feeds h, image",
        ),
    ],
)
def test_a_file_that_does_not_fit_its_manifest_is_refused_at_load(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(BundleError, match=told):
        Detector(manifest(**changes), ScriptedBackend([]))
