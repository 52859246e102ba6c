"""State tensors find each other."""

from __future__ import annotations

import pytest

from edgemass.errors import BundleError
from edgemass.families._state import pair_state
from edgemass.graph import Graph
from edgemass.tensors import Quantization, TensorInfo

PICTURE = TensorInfo("image", (1, 3, 64, 64), "float32")
ANSWER = TensorInfo("scores", (1, 10), "float32")


def tensor(name: str, shape: tuple[int | None, ...] = (1, 64), quantization: Quantization | None = None) -> TensorInfo:
    return TensorInfo(name, shape, "float32" if quantization is None else "uint8", quantization)


def pairs(inputs: list[TensorInfo], outputs: list[TensorInfo]) -> list[tuple[str, str]]:
    return [(pair.input, pair.output) for pair in pair_state(Graph("onnx", (PICTURE, *inputs), (ANSWER, *outputs)))]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["h0", "c0"], ["hn", "cn"]),
        (["h_in", "c_in"], ["h_out", "c_out"]),
        (["prev_hidden", "prev_cell"], ["next_hidden", "next_cell"]),
        (["raw_inputs/init_lstm_h", "raw_inputs/init_lstm_c"], ["raw_outputs/lstm_h", "raw_outputs/lstm_c"]),
        (["a", "b"], ["x", "y"]),  # names say nothing: the file's order
    ],
)
def test_names_and_order_pair_tensors_of_one_shape(inputs: list[str], outputs: list[str]) -> None:
    wanted = list(zip(inputs, outputs, strict=True))
    given = [tensor(name) for name in outputs]

    assert pairs([tensor(name) for name in inputs], given) == wanted
    if outputs != ["x", "y"]:
        assert pairs([tensor(name) for name in inputs], given[::-1]) == wanted


def test_shapes_come_before_names() -> None:
    assert pairs([tensor("h", (1, 8)), tensor("c", (1, 16))], [tensor("c_out", (1, 8)), tensor("h_out", (1, 16))]) == [
        ("h", "c_out"),
        ("c", "h_out"),
    ]


def test_free_dimensions_fit_and_begin_with_one() -> None:
    graph = Graph("onnx", (PICTURE, tensor("state", (2, None, 128))), (ANSWER, tensor("stateN", (None, None, None))))

    (pair,) = pair_state(graph)

    assert (pair.output, pair.shape) == ("stateN", (2, 1, 128))


def test_free_dimensions_that_took_other_sizes_in_a_run_do_not_fit() -> None:
    graph = Graph(
        "onnx",
        (PICTURE, tensor("sizes", (None, 2))),
        (ANSWER, tensor("boxes", (None, None))),
        run_shapes={"sizes": (1, 2)},
    )
    assert pair_state(graph)

    sized = Graph("onnx", graph.inputs, (ANSWER, tensor("boxes", (None, 4))), run_shapes={"sizes": (1, 2)})
    assert not pair_state(sized)


def test_zero_is_the_stored_value_that_stands_for_it() -> None:
    quantization = Quantization(0.1, 128)
    graph = Graph(
        "tflite", (PICTURE, tensor("h", (1, 8), quantization)), (ANSWER, tensor("h_out", (1, 8), quantization))
    )

    (pair,) = pair_state(graph)

    assert (pair.initial, pair.dtype) == (128.0, "uint8")


def test_state_quantized_differently_in_and_out_is_refused() -> None:
    graph = Graph(
        "tflite",
        (PICTURE, tensor("h", (1, 8), Quantization(0.1, 128))),
        (ANSWER, tensor("h_out", (1, 8), Quantization(0.2, 128))),
    )

    with pytest.raises(BundleError, match="one quantization for both"):
        pair_state(graph)


def test_the_picture_is_never_state() -> None:
    graph = Graph("onnx", (PICTURE,), (TensorInfo("sharper", (1, 3, 64, 64), "float32"),))

    assert pair_state(graph) == ()
