"""Writes the 8-bit graph: QuantizeLinear and DequantizeLinear around what computes in 8 bits (QDQ).

Activations unsigned, weights signed with one scale per output channel: the pairing that the x86 kernels of ONNX Runtime
are made for. (Signed activations take 1.6 times as long as float there, unsigned weights 0.9: docs/quantize.md.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgemass.tensors import AnyArray, FloatArray
from edgemass_tools.int8.float_graph import FloatGraph
from edgemass_tools.int8.plan import OPERATORS, Plan


def write(
    graph: FloatGraph, plan: Plan, ranges: Mapping[str, tuple[float, float]], means: Mapping[str, FloatArray]
) -> bytes:
    """The 8-bit model as a file holds it; the same arguments give the same bytes.

    means: of each convolution's input, per channel.
    """
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    _correct_biases(graph, plan, means, model)
    excluded = [node.name for node in graph.nodes if node.name not in plan.int8]
    limits = TensorsData(
        CalibrationMethod.MinMax,
        {
            name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
            for name, (low, high) in ranges.items()
        },
    )
    kinds = sorted({node.op_type for node in graph.nodes} & OPERATORS)
    with _quiet_root_logger():
        quantizer = QDQQuantizer(
            model,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=limits,
            nodes_to_quantize=[],
            nodes_to_exclude=excluded,
            op_types_to_quantize=kinds,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        quantizer.quantize_model()
    made = quantizer.model.model
    made.producer_name = "edgemass-tools"
    made.ClearField("doc_string")
    data: bytes = made.SerializeToString(deterministic=True)
    return data


@contextmanager
def _quiet_root_logger() -> Iterator[None]:
    """The quantizer warns, through the root logger, of each tensor that it leaves alone."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _correct_biases(graph: FloatGraph, plan: Plan, means: Mapping[str, FloatArray], model: Any) -> None:
    """Take out of each bias what rounding the weights adds to the layer's mean output.

    After M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019; the mean
    input is measured instead of derived. Few weights per channel (depthwise) do not average their rounding away.
    """
    nodes = {node.name: node for node in model.graph.node}
    for node in graph.weighted:
        if node.name not in plan.int8 or node.op_type != "Conv" or node.input[0] not in means:
            continue
        weights = graph.constant(node.input[1])
        shift = _shift(weights, means[node.input[0]])
        has_bias = len(node.input) > 2 and node.input[2]
        if has_bias and node.input[2] not in graph.constants:
            continue
        bias = graph.constant(node.input[2]) if has_bias else np.zeros(len(weights), np.float32)
        name = f"{node.name}:bias"
        model.graph.initializer.append(numpy_helper.from_array((bias - shift).astype(np.float32), name))
        copy = nodes[node.name]
        inputs = [*copy.input[:2], name]
        del copy.input[:]
        copy.input.extend(inputs)


def _shift(weights: AnyArray, mean: FloatArray) -> AnyArray:
    """What rounding adds to the mean of each output channel.

    weights: (out, in / groups, kernel...). mean: (in,).
    """
    flat = weights.reshape(len(weights), weights.shape[1], -1).astype(np.float64)
    scale = np.maximum(np.abs(flat).max(axis=(1, 2), keepdims=True) / 127, 1e-12)
    added = (np.rint(flat / scale) * scale - flat).sum(axis=2)
    groups = len(mean) // weights.shape[1]
    seen = np.repeat(mean.reshape(groups, weights.shape[1]), len(weights) // groups, axis=0)
    shift: AnyArray = (added * seen).sum(axis=1)
    return shift
