"""The made-up detections that benchmarks are loaded with."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from edgemass.backends import Backend
from edgemass.detections import Detections
from edgemass.families._candidates import sigmoid, softmax
from edgemass.families._dense import pick
from edgemass.imaging.nms import suppress
from edgemass.tensors import Quantization, Tensor
from tests.benchmarks.synthetic_load import BINS, STRIDES, SyntheticLoad, answers, scene


@pytest.mark.parametrize("size", [320, 640])
def test_a_scene_has_the_objects_and_about_the_candidates_that_were_asked_for(size: int) -> None:
    made = scene(size, size)
    score = made.probability.max(axis=1)
    above = score > 0.25
    assert 270 <= above.sum() <= 300
    class_id = made.probability.argmax(axis=1)
    found = Detections(
        made.xyxy[above].astype(np.float32), score[above].astype(np.float32), class_id[above].astype(np.int64)
    )
    assert 25 <= len(suppress(found, iou=0.45, max_detections=300)) <= 60


def test_the_raw_head_says_what_the_stock_head_says() -> None:
    made = scene(320, 320)
    stock = made.stock()
    logits = np.concatenate([part.reshape(80, -1) for part, _ in made.raw()], axis=1)
    bins = np.concatenate([part.reshape(4, BINS, -1) for _, part in made.raw()], axis=2)
    distance = softmax(bins.transpose(2, 0, 1)) @ np.arange(BINS, dtype=np.float32)
    reach = distance * made.stride
    xyxy = np.concatenate([made.xy - reach[:, :2], made.xy + reach[:, 2:]], axis=1)
    assert np.allclose(sigmoid(logits), stock[4:], atol=1e-6)
    half = stock[2:4] / 2
    assert np.allclose(xyxy.T, np.concatenate([stock[:2] - half, stock[:2] + half]), atol=1e-3)
    assert [part.shape[1:] for part, _ in made.raw()] == [(320 // stride, 320 // stride) for stride in STRIDES]


def test_a_thousandth_as_background_makes_every_cell_a_candidate() -> None:
    made = scene(640, 640, background=0.005)
    found = pick(Tensor(made.stock().T[:, 4:]), 0.001, multi_label=False)
    assert len(found.row) == 8400


class _Backend:
    name = requested = "fake/cpu"
    version = "0"
    inputs = outputs = ()

    def __init__(self, outputs: dict[str, Tensor]) -> None:
        self.runs = 0
        self._answer = outputs

    def run(self, _: Any) -> dict[str, Tensor]:
        self.runs += 1
        return self._answer

    def close(self) -> None:
        self.runs = -1


def test_the_real_run_happens_and_its_answer_is_replaced() -> None:
    real = _Backend({"output0": Tensor(np.zeros((1, 84, 2100), np.float32))})
    loaded = SyntheticLoad(cast("Backend", real), 320, 320)
    found = [loaded.run({})["output0"].data for _ in range(2)]
    assert real.runs == 2
    assert np.array_equal(found[0][0], scene(320, 320).stock())
    loaded.close()
    assert real.runs == -1


def test_integer_outputs_hold_the_scene_in_their_own_scale() -> None:
    scale = Quantization(1 / 255, -128)
    stored = answers({"out": Tensor(np.zeros((1, 84, 2100), np.int8), scale)}, 320, 320, normalized=True)["out"]
    assert stored.data.dtype == np.int8
    assert np.allclose(stored.real()[0], np.clip(scene(320, 320).stock(normalized=True), 0, 1), atol=0.003)


def test_an_unknown_head_is_refused() -> None:
    outputs = {"out": Tensor(np.zeros((1, 7), np.float32))}
    with pytest.raises(ValueError, match=r"shape \(1, 7\), wanted a head of YOLOv8"):
        answers(outputs, 320, 320)
