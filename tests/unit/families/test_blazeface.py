"""BlazeFace against MediaPipe's formulas, written out as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import blazeface
from edgemass.tensors import FloatArray, Tensor, TensorInfo
from tests.unit.families.helpers import (
    Row,
    assert_same,
    decode,
    graph_of,
    manifest_from,
    manifest_of,
    recognised,
    stored,
)

SHORT_RANGE = {"strides": [8, 16, 16, 16], "anchors_per_layer": 2}
TENSORS = {"regressors": ("r",), "classificators": ("c",)}


def heads(rng: np.random.Generator, rows: int = 896, columns: int = 16) -> dict[str, FloatArray]:
    return {
        "r": rng.normal(20, 15, (1, rows, columns)).astype(np.float32),
        "c": rng.normal(-2, 3, (1, rows, 1)).astype(np.float32),
    }


def anchors(side: int, strides: list[int]) -> list[tuple[float, float]]:
    """SsdAnchorsCalculator with fixed_anchor_size: two per layer, layers of one stride in one cell."""
    made = []
    layer = 0
    while layer < len(strides):
        last = layer
        while last < len(strides) and strides[last] == strides[layer]:
            last += 1
        cells = math.ceil(side / strides[layer])
        for y in range(cells):
            for x in range(cells):
                made.extend([((x + 0.5) / cells, (y + 0.5) / cells)] * (2 * (last - layer)))
        layer = last
    return made


def reference(regressors: FloatArray, logits: FloatArray, threshold: float, side: int, strides: list[int]) -> list[Row]:
    found: list[Row] = []
    for (ax, ay), box, logit in zip(anchors(side, strides), regressors[0].tolist(), logits[0, :, 0], strict=True):
        score = 1 / (1 + math.exp(-min(max(float(logit), -100), 100)))  # score_clipping_thresh
        if score > threshold:
            x, y, w, h = (value / side for value in box[:4])
            x, y = x + ax, y + ay
            corners = ((x - w / 2) * side, (y - h / 2) * side, (x + w / 2) * side, (y + h / 2) * side)
            found.append((*corners, score, 0))
    return found


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize(("side", "strides"), [(128, [8, 16, 16, 16]), (256, [16, 32, 32, 32])])
def test_heads_decode_as_mediapipe_does(dtype: str, side: int, strides: list[int]) -> None:
    tensors = {name: stored(values, dtype) for name, values in heads(np.random.default_rng(1)).items()}
    spec = manifest_of("blazeface", TENSORS, ["face"], options={"strides": strides}, size=(side, side))

    found = decode(spec, tensors, 0.5)

    assert len(found) > 100
    assert_same(found, reference(tensors["r"].real(), tensors["c"].real(), 0.5, side, strides))


def test_known_faces_survive_encoding_and_decoding() -> None:
    rng = np.random.default_rng(2)
    rows = rng.choice(896, 20, replace=False)
    centres = np.array(anchors(128, [8, 16, 16, 16]))[rows] * 128
    corner = rng.uniform(0, 60, (20, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 60, (20, 2))], axis=1)
    given = heads(rng)
    given["c"][...] = -9
    given["c"][0, rows] = 1
    given["r"][0, rows, :2] = (boxes[:, :2] + boxes[:, 2:]) / 2 - centres
    given["r"][0, rows, 2:4] = boxes[:, 2:] - boxes[:, :2]
    spec = manifest_of("blazeface", TENSORS, ["face"], options=SHORT_RANGE, size=(128, 128))

    found = decode(spec, {name: Tensor(values) for name, values in given.items()}, 0.5)

    assert_same(found, [(*box, 1 / (1 + math.exp(-1)), 0) for box in boxes.tolist()])


def test_one_tensor_per_feature_map_decodes_as_one_for_all() -> None:
    given = heads(np.random.default_rng(3))
    whole = {name: Tensor(values) for name, values in given.items()}
    parts = {
        "r16": Tensor(given["r"][:, 512:]),
        "c8": Tensor(given["c"][:, :512]),
        "r8": Tensor(given["r"][:, :512]),
        "c16": Tensor(given["c"][:, 512:]),
    }
    picture = TensorInfo("input", (1, 3, 128, 128), "float32")

    claim = recognised(blazeface.recognise(graph_of(parts, picture=picture)))
    found = decode(manifest_from(claim, "blazeface", ["face"]), parts, 0.5)

    assert claim.tensors == {"regressors": ("r8", "r16"), "classificators": ("c8", "c16")}
    spec = manifest_of("blazeface", TENSORS, ["face"], options=SHORT_RANGE, size=(128, 128))
    wanted = decode(spec, whole, 0.5)
    np.testing.assert_array_equal(found.xyxy, wanted.xyxy)
    np.testing.assert_array_equal(found.score, wanted.score)


def test_extreme_logits_do_not_overflow() -> None:
    given = heads(np.random.default_rng(4))
    given["c"][0, 0], given["c"][0, 1] = 1e5, -1e5
    spec = manifest_of("blazeface", TENSORS, ["face"], options=SHORT_RANGE, size=(128, 128))

    found = decode(spec, {name: Tensor(values) for name, values in given.items()}, 0.5)

    assert found.score.max() == 1.0


def test_what_is_not_finite_is_no_detection() -> None:
    given = heads(np.random.default_rng(5))
    given["c"][...] = -9
    given["c"][0, :3] = 5
    given["c"][0, 0] = np.nan
    given["r"][0, 1, 2] = np.inf
    spec = manifest_of("blazeface", TENSORS, ["face"], options=SHORT_RANGE, size=(128, 128))

    assert len(decode(spec, {name: Tensor(values) for name, values in given.items()}, 0.5)) == 1


@pytest.mark.parametrize(
    ("side", "rows", "columns", "strides", "labels"),
    [
        (128, 896, 16, [8, 16, 16, 16], "face"),
        (256, 896, 16, [16, 32, 32, 32], "face"),
        (192, 2304, 16, [4], "face"),
        (192, 2016, 18, [8, 16, 16, 16], "palm"),
        (224, 2254, 12, [8, 16, 32, 32, 32], "person"),
    ],
)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_mediapipes_detectors_are_recognised_by_size_and_rows(  # one row per published detector
    side: int, rows: int, columns: int, strides: list[int], labels: str, layout: str
) -> None:
    given = {name: Tensor(v) for name, v in heads(np.random.default_rng(6), rows, columns).items()}
    shape = (1, side, side, 3) if layout == "NHWC" else (1, 3, side, side)
    graph = graph_of(dict(reversed(given.items())), picture=TensorInfo("input", shape, "float32"))

    claim = recognised(blazeface.recognise(graph))

    assert claim.options["strides"] == strides
    assert claim.tensors == TENSORS
    assert (claim.input.layout, claim.class_count, claim.default_labels) == (layout, 1, labels)
    assert (claim.input.resize.rule, claim.input.mean, claim.input.std) == ("letterbox", (127.5,), (127.5,))
    decode(manifest_from(claim, "blazeface", ["it"]), given, 0.5)


def test_landmark_models_are_not_detectors() -> None:
    given = {"a": Tensor(np.zeros((1, 1, 1, 1404), np.float32)), "b": Tensor(np.zeros((1, 1, 1, 1), np.float32))}

    assert blazeface.recognise(graph_of(given, picture=TensorInfo("i", (1, 192, 192, 3), "float32"))) is None


def test_another_number_of_rows_than_anchors_is_refused_with_both_numbers() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(7), rows=895).items()}
    spec = manifest_of("blazeface", TENSORS, ["face"], options=SHORT_RANGE, size=(128, 128))

    with pytest.raises(BundleError, match=r"895.*896"):
        decode(spec, given, 0.5)
