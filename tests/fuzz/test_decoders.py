"""Whatever numbers a model answers with: finite boxes, scores within their range, classes that have a label."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgemass import families
from edgemass.detections import Classification, Detections
from edgemass.detector import Detector, Thresholds
from edgemass.errors import BackendError, BundleError
from edgemass.families import FAMILIES
from edgemass.manifest import MAX_DETECTIONS, Manifest, Nms
from edgemass.tensors import Outputs, Quantization, Tensor, TensorInfo
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.models import MODELS, EchoBackend, Model

EXTREMES = np.array(
    [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e30, 3.4e38, -3.4e38, 88.0, 710.0, np.nan, np.inf, -np.inf, 2.0, 300.0],
    np.float64,
)
thresholds = st.sampled_from([0.0, 0.01, 0.3, 0.5, 0.999, 1.0])
models = st.sampled_from(list(MODELS.values()))


@st.composite
def answers(draw: st.DrawFn, infos: tuple[TensorInfo, ...]) -> Outputs:
    """Numbers for every output: noise of some range, with extremes strewn in, or the same everywhere."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {
        info.name: _tensor(rng, info, draw(st.sampled_from(["noise", "strewn", "extremes", "same"]))) for info in infos
    }


def _tensor(rng: np.random.Generator, info: TensorInfo, kind: str) -> Tensor:
    shape = [side or 1 for side in info.shape]
    if info.dtype[0] in "iu":
        limits = np.iinfo(info.dtype)
        data: NDArray[Any] = rng.integers(limits.min, limits.max, shape, info.dtype, endpoint=True)
        if kind == "same":
            data[:] = rng.choice(np.array([limits.min, limits.max, 0, 1], info.dtype))
        return Tensor(data, info.quantization)
    low, high = rng.choice([(0, 1), (-20, 20), (-1000, 1000)])
    values = rng.uniform(float(low), float(high), shape)
    if kind == "same":
        values[:] = rng.choice(EXTREMES)
    elif kind != "noise":
        strewn = rng.random(shape) < (0.1 if kind == "strewn" else 1.0)
        values[strewn] = rng.choice(EXTREMES, int(strewn.sum()))
    with np.errstate(over="ignore"):
        return Tensor(values.astype(info.dtype), None)


def check(found: Detections | Classification, threshold: float, labels: int) -> None:
    assert bool((found.score > threshold).all())
    assert bool((found.score <= 1).all())
    assert found.class_id.dtype == np.int64
    assert bool(((found.class_id >= 0) & (found.class_id < labels)).all())
    if isinstance(found, Detections):
        assert bool(np.isfinite(found.xyxy).all())


@pytest.mark.parametrize("name", MODELS)
@counts(30, 20_000)
def test_any_numbers_give_detections_within_their_ranges(name: str, examples: int) -> None:
    model = MODELS[name]

    def promise(dtypes: list[str], threshold: float, multi_label: bool, data: st.DataObject) -> None:
        infos = tuple(
            TensorInfo(info.name, info.shape, dtype, Quantization(0.02, 3) if dtype in ("uint8", "int8") else None)
            for info, dtype in zip(model.outputs, dtypes, strict=True)
        )
        decode = families.prepare(model.manifest, {info.name: info for info in infos})
        found = decode(data.draw(answers(infos)), score_threshold=threshold, multi_label=multi_label)
        check(found, threshold, len(model.manifest.labels))

    dtypes = st.lists(
        st.sampled_from(["float32", "float16", "float64", "uint8", "int8", "int32", "int64"]),
        min_size=len(model.outputs),
        max_size=len(model.outputs),
    )
    hold(promise, examples, dtypes=dtypes, threshold=thresholds, multi_label=st.booleans(), data=st.data())


@counts(150, 50_000)
def test_shapes_that_do_not_fit_are_refused_when_preparing_and_never_fail_in_decoding(examples: int) -> None:
    """Wrong ranks, other sides, axes left out or added: what `prepare` takes, `decode` can read."""

    def promise(model: Model, data: st.DataObject) -> None:
        infos = list(model.outputs)
        for _ in range(data.draw(st.integers(1, 2))):
            at = data.draw(st.integers(0, len(infos) - 1))
            shape = list(infos[at].shape)
            change = data.draw(st.sampled_from(["side", "leave", "add", "none"]))
            if change == "side" and shape:
                shape[data.draw(st.integers(0, len(shape) - 1))] = data.draw(
                    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, 84])
                )
            elif change == "leave" and shape:
                del shape[data.draw(st.integers(0, len(shape) - 1))]
            elif change == "add":
                shape.insert(data.draw(st.integers(0, len(shape))), data.draw(st.sampled_from([0, 1, 2])))
            else:
                shape = []
            infos[at] = TensorInfo(infos[at].name, tuple(shape), infos[at].dtype)
        with may_refuse(BundleError):
            decode = families.prepare(model.manifest, {info.name: info for info in infos})
            ones = {info.name: Tensor(np.ones([side or 0 for side in info.shape], info.dtype)) for info in infos}
            check(decode(ones, score_threshold=0.0), 0.0, len(model.manifest.labels))

    hold(promise, examples, model=models, data=st.data())


@counts(100, 30_000)
def test_an_answer_of_another_shape_than_promised_is_a_failure_of_the_backend(examples: int) -> None:
    def promise(model: Model, shape: list[int], data: st.DataObject) -> None:
        free = tuple(TensorInfo(info.name, tuple(None for _ in info.shape), info.dtype) for info in model.outputs)
        answer = dict(data.draw(answers(model.outputs)))
        name = data.draw(st.sampled_from(list(answer)))
        answer[name] = Tensor(np.ones(shape, np.float32))
        with may_refuse(BackendError, BundleError):
            detector = Detector(model.manifest, EchoBackend(model.manifest, free, answer))
            found = detector.stream().detect(np.zeros((48, 64, 3), np.uint8), Thresholds(0.1)).found
            check(found, 0.1, len(model.manifest.labels))

    hold(promise, examples, model=models, shape=st.lists(st.integers(0, 9), max_size=5), data=st.data())


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-45, 1e38])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_quantization_that_no_converter_writes_is_refused(name: str, scale: float) -> None:
    model = MODELS[name]
    infos = {info.name: TensorInfo(info.name, info.shape, "int8", Quantization(scale, 0)) for info in model.outputs}
    with pytest.raises(BundleError, match="quantization"):
        families.prepare(model.manifest, infos)


@pytest.mark.parametrize("dtype", ["bool", "object", "complex64", "str", "no type at all"])
@pytest.mark.parametrize("name", FAMILIES)
def test_outputs_that_are_no_numbers_are_refused(name: str, dtype: str) -> None:
    model = MODELS[name]
    infos = {info.name: TensorInfo(info.name, info.shape, dtype) for info in model.outputs}
    with pytest.raises(BundleError, match=dtype):
        families.prepare(model.manifest, infos)


def _crowd(nms: Nms) -> tuple[Manifest, tuple[TensorInfo, ...], Mapping[str, Tensor]]:
    """A YOLOv8 of 640x640 and 80 classes that is sure of everything everywhere."""
    model = MODELS["yolo_v8"]
    spec = msgspec.structs.replace(model.manifest.input, width=640, height=640)
    made = msgspec.structs.replace(
        model.manifest,
        input=spec,
        labels=tuple(f"label{i}" for i in range(80)),
        output=msgspec.structs.replace(model.manifest.output, nms=nms),
    )
    infos = (TensorInfo("output", (1, 84, 8400), "float32"),)
    rng = np.random.default_rng(0)
    data = rng.uniform(0.9, 1.0, (1, 84, 8400)).astype(np.float32)
    data[0, :2] = rng.uniform(0, 640, (2, 8400))
    return made, infos, {"output": Tensor(data)}


@pytest.mark.parametrize(
    ("nms", "side"),
    [
        pytest.param(Nms(iou=1.0, max_detections=MAX_DETECTIONS), 640.0, id="nothing is suppressed"),
        pytest.param(Nms(iou=0.5, max_detections=MAX_DETECTIONS), 0.01, id="nothing overlaps"),
        pytest.param(Nms(iou=0.0, max_detections=100), 2000.0, id="everything overlaps"),
        pytest.param(Nms(iou=0.5, max_detections=100, class_agnostic=True), 300.0, id="all classes are one"),
    ],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_a_model_that_sees_everything_everywhere_ends_and_keeps_its_memory(
    nms: Nms, side: float, multi_label: bool
) -> None:
    """672,000 candidates: quadratic work would not come to its end before the test's time is out."""
    made, infos, answer = _crowd(nms)
    answer["output"].data[0, 2:4] = side
    stream = Detector(made, EchoBackend(made, infos, answer)).stream()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = stream.detect(np.zeros((480, 640, 3), np.uint8), Thresholds(0.1, multi_label=multi_label)).found
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 1024 * 1024
    assert 1 <= len(found) <= nms.max_detections
    check(found, 0.1, 80)
