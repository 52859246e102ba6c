"""Frames that take several runs, with a runtime whose state is the sum and the count of what it was fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgemass.detections import Classification
from edgemass.detector import Detector, Inference, Thresholds, made_up_inputs
from edgemass.errors import BundleError
from edgemass.frame import Image
from edgemass.manifest import InputSpec, Manifest, OutputSpec, StateTensor, TextRule, Variant
from edgemass.tensors import AnyArray, Outputs, Tensor, TensorInfo
from edgemass.texts import as_image


class SummingBackend:
    """Says how sure it is of class 0 by the sum of all inputs of a frame over a thousand; 0 in an input is padding."""

    name = requested = "summing"
    version = "1"

    def __init__(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        self.inputs: tuple[TensorInfo, ...] = (TensorInfo(name, shape, dtype), TensorInfo("sum", (1, 1), "float32"))
        self.outputs: tuple[TensorInfo, ...] = (
            TensorInfo("scores", (1, 2), "float32"),
            TensorInfo("sum_next", (1, 1), "float32"),
        )
        self.seen: list[dict[str, AnyArray]] = []

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        self.seen.append({name: array.copy() for name, array in inputs.items()})
        total = inputs["sum"] + np.float32(inputs[self.inputs[0].name].sum())
        sure = float(total[0, 0]) / 1000
        scores = np.array([[sure, 1 - sure]], np.float32)
        return {"scores": Tensor(scores), "sum_next": Tensor(total)}

    def close(self) -> None:
        pass


def manifest(spec: InputSpec, **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "sums",
        "task": "classification",
        "labels": ("a", "b"),
        "input": spec,
        "output": OutputSpec(
            family="sequence_classifier", tensors={"scores": ("scores",)}, options={"activation": "none"}
        ),
        "state": (StateTensor(input="sum", output="sum_next", shape=(1, 1), dtype="float32"),),
        "variants": (Variant(name="v", file="v.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
    }
    return Manifest(**{**fields, **changes})


def text_spec(bytes_per_run: int, **changes: Any) -> InputSpec:
    rule = TextRule(bytes_per_run=bytes_per_run)
    return InputSpec(**{"name": "bytes", "layout": "NT", "dtype": "int32", "text": rule, **changes})


def rows_spec(rows_per_run: int | None, **changes: Any) -> InputSpec:
    fields = {"name": "rows", "layout": "NHW", "dtype": "float32", "width": 4, "height": 8, "color": "GRAY"}
    return InputSpec(**{**fields, "rows_per_run": rows_per_run, **changes})


def text_detector(bytes_per_run: int) -> tuple[Detector, SummingBackend]:
    backend = SummingBackend("bytes", (1, bytes_per_run), "int32")
    return Detector(manifest(text_spec(bytes_per_run)), backend), backend


def sure(inference: Inference) -> float:
    found = inference.found
    assert isinstance(found, Classification)
    return float(dict(zip(found.class_id.tolist(), found.score.tolist(), strict=True)).get(0, 0.0))


ALL = Thresholds(-1.0)


def test_a_text_is_read_to_its_end_with_the_state_carried_and_padding_behind_it() -> None:
    detector, backend = text_detector(4)
    inference = detector.stream().detect(as_image(b"\x01\x02\x03\x04\x05"), ALL)
    assert [seen["bytes"].tolist() for seen in backend.seen] == [[[1, 2, 3, 4]], [[5, 0, 0, 0]]]
    assert [float(seen["sum"][0, 0]) for seen in backend.seen] == [0, 10]
    assert sure(inference) == pytest.approx(0.015)


@pytest.mark.parametrize("bytes_per_run", [1, 2, 3, 7, 64])
def test_where_a_text_is_cut_does_not_change_the_answer(bytes_per_run: int) -> None:
    detector, _ = text_detector(bytes_per_run)
    assert sure(detector.stream().detect(as_image(b"\x0a" * 7), ALL)) == pytest.approx(0.07)


def test_the_state_is_forgotten_between_texts_and_is_the_streams_own() -> None:
    detector, _ = text_detector(2)
    one, other = detector.stream(), detector.stream()
    answers = [sure(stream.detect(as_image(b"\x05\x06\x07"), ALL)) for stream in (one, one, other)]
    assert answers == pytest.approx([0.018] * 3)


def test_an_empty_text_is_padding_alone() -> None:
    detector, backend = text_detector(2)
    detector.stream().detect(as_image(b""), ALL)
    assert [seen["bytes"].tolist() for seen in backend.seen] == [[[0, 0]]]


def test_the_time_is_that_of_all_runs_and_the_age_is_asked_once() -> None:
    detector, backend = text_detector(1)
    asked: list[None] = []
    inference = detector.stream().detect(as_image(b"abc"), ALL, lambda: asked.append(None))
    assert len(backend.seen) == 3
    assert len(asked) == 1
    assert inference.ran.infer_ns > 0


def test_a_picture_is_read_some_rows_at_a_time_from_top_to_bottom() -> None:
    backend = SummingBackend("rows", (1, 2, 4), "float32")
    stream = Detector(manifest(rows_spec(2)), backend).stream()
    image: Image = np.repeat(np.arange(8, dtype=np.uint8)[:, None, None], 4, 1).repeat(3, 2)
    for _ in range(2):  # the second time from the beginning again
        assert sure(stream.detect(image, ALL)) == pytest.approx(0.112)
    assert [seen["rows"][0, :, 0].tolist() for seen in backend.seen[:4]] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_made_up_inputs_are_those_of_one_run() -> None:
    assert made_up_inputs(manifest(text_spec(16)))["bytes"].shape == (1, 16)
    assert made_up_inputs(manifest(rows_spec(2)))["rows"].shape == (1, 2, 4)


def test_a_file_that_takes_another_number_of_bytes_is_refused() -> None:
    with pytest.raises(BundleError, match=r"\[1, 8\] in the file, \[1, 4\] in the manifest"):
        Detector(manifest(text_spec(4)), SummingBackend("bytes", (1, 8), "int32"))


@pytest.mark.parametrize(
    ("spec", "changes", "told"),
    [
        ({"layout": "NHW"}, {}, "needs layout NT"),
        ({"dtype": "float32"}, {}, "dtype uint8, int32 or int64"),
        ({"width": 28}, {}, "goes with none of width"),
        ({"text": TextRule(bytes_per_run=0)}, {}, "between 1 and"),
        ({"text": TextRule(bytes_per_run=4, padding=256), "dtype": "uint8"}, {}, "padding is 256"),
        ({"text": None}, {}, "which is for texts"),
        ({}, {"state": ()}, "state is empty"),
        ({}, {"task": "detection"}, "is for classification"),
    ],
)
def test_a_manifest_of_texts_that_contradicts_itself_is_refused(
    spec: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        manifest(text_spec(4, **spec), **changes)


@pytest.mark.parametrize("rows", [0, -1, 3, 9])
def test_rows_of_a_run_divide_those_of_the_picture(rows: int) -> None:
    with pytest.raises(ValueError, match=r"wanted a divisor of input\.height 8"):
        manifest(rows_spec(rows))
