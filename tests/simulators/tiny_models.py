"""Models of a kilobyte, made on the spot: out = in + 1, in the shapes and types that a test asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def onnx_add(
    path: Path,
    shape: Sequence[int | str] = (1, 3, 4, 4),
    *,
    dtype: str = "float32",
    metadata: Mapping[str, str] | None = None,
    constant_is_input: bool = False,
) -> Path:
    """An ONNX file; a text in `shape` is a free dimension.

    constant_is_input: list the constant among the inputs, as old exporters do; ONNX Runtime warns about it.
    """
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [onnx.helper.make_tensor_value_info("in", kind, list(shape))]
    if constant_is_input:
        inputs.append(onnx.helper.make_tensor_value_info("one", kind, [1]))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["in", "one"], ["out"])],
        "add",
        inputs,
        [onnx.helper.make_tensor_value_info("out", kind, list(shape))],
        [onnx.numpy_helper.from_array(np.ones(1, dtype), "one")],
    )
    return save_onnx(graph, path, metadata or {})


def save_onnx(graph: Any, path: Path, metadata: Mapping[str, str] | None = None) -> Path:
    import onnx

    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, dict(metadata or {}))
    path.write_bytes(model.SerializeToString())
    return path


def onnx_texts(path: Path) -> Path:
    """An ONNX file whose output holds texts."""
    import onnx

    text = onnx.TensorProto.STRING
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["in"], ["out"])],
        "texts",
        [onnx.helper.make_tensor_value_info("in", text, [1])],
        [onnx.helper.make_tensor_value_info("out", text, [1])],
    )
    return save_onnx(graph, path)


def onnx_external(path: Path, location: str) -> Path:
    """An ONNX file whose constant is said to lie in another file."""
    import onnx

    onnx_add(path)
    model = onnx.load(path)
    constant = model.graph.initializer[0]
    constant.ClearField("raw_data")
    constant.data_location = onnx.TensorProto.EXTERNAL
    entry = constant.external_data.add()
    entry.key, entry.value = "location", location
    path.write_bytes(model.SerializeToString())
    return path


def tflite_add(
    path: Path,
    shape: Sequence[int] = (1, 4, 4, 3),
    *,
    signature: Sequence[int] | None = None,
    quantized: tuple[float, int] | None = None,
) -> Path:
    """A TFLite file.

    signature: the shape with -1 for free dimensions.
    quantized: (scale, zero point) of an int8 file; its constant is the stored value of 1.
    """
    import flatbuffers  # type: ignore[import-untyped]
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version = 3
    one = np.array([1], np.float32)
    kind = schema.TensorType.FLOAT32
    if quantized:
        one = np.array([round(1 / quantized[0]) + quantized[1]], np.int8)
        kind = schema.TensorType.INT8
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(one.tobytes(), np.uint8)

    def tensor(name: str, sides: Sequence[int], buffer: int) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(sides), kind, buffer
        if signature and buffer == 0:
            made.shapeSignature = list(signature)
        if quantized:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [quantized[0]], [quantized[1]]
        return made

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 2 if quantized else 1
    model.operatorCodes = [code]
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = schema.AddOptionsT()
    graph = schema.SubGraphT()
    graph.tensors = [tensor("in", shape, 0), tensor("one", [1], 1), tensor("out", shape, 0)]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [operator]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def onnx_classifier(path: Path, *, unknown_operator: bool = False, seed: int = 0) -> Path:
    """A convolutional network of random weights for pictures of 32x32 pixels and ten classes: a strided convolution, a
    depthwise and two pointwise ones, each with SiLU, a mean over the picture and a softmax. One channel of the
    depthwise convolution's input is a hundred times as large as the others, which 8 bits of one scale cannot hold.
    """
    import onnx

    rng = np.random.default_rng(seed)
    make = onnx.helper.make_node
    nodes, constants = [], []

    def convolution(number: int, source: str, shape: Sequence[int], stride: int = 1, group: int = 1) -> str:
        scale = (2 / np.prod(shape[1:])) ** 0.5
        weights = rng.normal(0, scale, shape)
        if number == 1:
            weights[0] *= 100
        if number == 2:
            weights[0] /= 100
        constants.append(onnx.numpy_helper.from_array(weights.astype(np.float32), f"w{number}"))
        constants.append(onnx.numpy_helper.from_array(rng.normal(0, 0.1, shape[0]).astype(np.float32), f"b{number}"))
        pad = shape[2] // 2
        attributes: dict[str, Any] = {"strides": [stride] * 2, "pads": [pad] * 4, "group": group}
        nodes.append(make("Conv", [source, f"w{number}", f"b{number}"], [f"c{number}"], f"conv{number}", **attributes))
        nodes.append(make("Sigmoid", [f"c{number}"], [f"s{number}"]))
        nodes.append(make("Mul", [f"c{number}", f"s{number}"], [f"a{number}"]))
        return f"a{number}"

    last = convolution(0, "images", (8, 3, 3, 3), stride=2)
    last = convolution(1, last, (16, 8, 1, 1))
    last = convolution(2, last, (16, 1, 3, 3), group=16)
    last = convolution(3, last, (32, 16, 1, 1))
    last = convolution(4, last, (10, 32, 3, 3), stride=2)
    if unknown_operator:
        nodes.append(make("Novelty", [last], ["novel"], domain="com.example"))
        last = "novel"
    nodes += [
        make("GlobalAveragePool", [last], ["mean"]),
        make("Flatten", ["mean"], ["flat"]),
        make("Softmax", ["flat"], ["probabilities"], axis=1),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "classifier",
        [onnx.helper.make_tensor_value_info("images", kind, [1, 3, 32, 32])],
        [onnx.helper.make_tensor_value_info("probabilities", kind, [1, 10])],
        constants,
    )
    return save_onnx(graph, path)
