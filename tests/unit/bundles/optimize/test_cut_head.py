from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgemass.bundles.optimize.cut_head import constants_behind, last_maps
from edgemass.bundles.optimize.onnx_graph_editor import Editor
from tests.simulators import tiny_detectors


@pytest.mark.parametrize("head", ["apart", "joined"])
def test_a_head_ends_at_its_last_convolutions_and_not_at_the_mean_over_bins(head: str, tmp_path: Path) -> None:
    path = tiny_detectors.yolo_v8(tmp_path / "m.onnx", head=head)  # type: ignore[arg-type]
    editor = Editor(onnx.load_model(str(path)))
    channels = []
    for name in last_maps(editor):
        node = editor.producer(name)
        assert node is not None
        weights = editor.constant(node.input[1])
        assert weights is not None
        channels.append(len(weights))
    assert sorted(channels) == [tiny_detectors.CLASSES] * 3 + [4 * tiny_detectors.BINS] * 3


def test_a_map_tells_the_constants_of_its_own_arithmetic_only() -> None:
    constants = {"w": np.ones((2, 3, 1, 1)), "anchors": np.full(2, 7), "others": np.full(2, 9), "after": np.full(2, 5)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["first"]),
            helper.make_node("Conv", ["x", "w"], ["second"]),
            helper.make_node("Mul", ["first", "anchors"], ["a"]),
            helper.make_node("Mul", ["second", "others"], ["b"]),
            helper.make_node("Concat", ["a", "b"], ["both"], axis=1),
            helper.make_node("Add", ["both", "after"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2, 2])],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    editor = Editor(helper.make_model(graph))
    maps = last_maps(editor)
    assert maps == ["first", "second"]
    (found,) = constants_behind(editor, "first", set(maps))
    assert found.tolist() == [7, 7]
