"""A float ONNX file in the form that the rest of this package works on, and how its nodes hang together."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import numpy_helper, version_converter

from edgemass.backends.onnxruntime import reason
from edgemass.errors import BundleError
from edgemass.tensors import AnyArray

OPSET = 13  # the first whose QuantizeLinear has one scale per channel
_QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"})
_STANDARD = frozenset({"", "ai.onnx"})
_SILENT = 4


@dataclass(frozen=True)
class FloatGraph:
    """One ONNX model: every node has a name, constants are initializers, the types of its tensors are known."""

    model: Any

    @property
    def nodes(self) -> list[Any]:
        """In the order in which they run."""
        return list(self.model.graph.node)

    @cached_property
    def constants(self) -> dict[str, Any]:
        """Initializers by name, as onnx has them."""
        return {item.name: item for item in self.model.graph.initializer}

    @cached_property
    def float_tensors(self) -> frozenset[str]:
        """Names of what is computed from the picture as float32."""
        graph = self.model.graph
        typed = [*graph.value_info, *graph.input, *graph.output]
        return frozenset(
            item.name
            for item in typed
            if item.type.tensor_type.elem_type == onnx.TensorProto.FLOAT and item.name not in self.constants
        )

    def constant(self, name: str) -> AnyArray:
        array: AnyArray = numpy_helper.to_array(self.constants[name])
        return array

    def is_weighted(self, node: Any) -> bool:
        """Whether it multiplies what comes in by learned weights: where nearly all time goes."""
        return node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in self.constants

    @cached_property
    def weighted(self) -> list[Any]:
        return [node for node in self.nodes if self.is_weighted(node)]

    @cached_property
    def before_the_last_weights(self) -> frozenset[str]:
        """Names of the nodes whose result goes through weights, or that have the last ones.

        What comes after decodes boxes and scores: cheap, and one scale for both would spoil either.
        """
        readers = self.readers
        found: set[str] = set()
        for node in reversed(self.nodes):
            if self.is_weighted(node) or any(reader.name in found for name in node.output for reader in readers[name]):
                found.add(node.name)
        return frozenset(found)

    @cached_property
    def first(self) -> frozenset[str]:
        """Names of the weighted nodes that see the picture itself, through no other weights.

        Their few input channels gain little from 8 bits, and what they lose is lost for all that follows.
        """
        behind: set[str] = set()
        found: set[str] = set()
        for node in self.nodes:
            seen = any(name in behind for name in node.input)
            if self.is_weighted(node) and not seen:
                found.add(node.name)
            if self.is_weighted(node) or seen:
                behind.update(node.output)
        return frozenset(found)

    @cached_property
    def heads(self) -> tuple[tuple[str, int], ...]:
        """The last weighted nodes' float outputs, and the axis of their channels: what decoding starts from."""
        readers = self.readers
        kept = self.before_the_last_weights
        return tuple(
            (node.output[0], 1 if node.op_type == "Conv" else -1)
            for node in self.weighted
            if not any(reader.name in kept for reader in readers[node.output[0]])
        )

    @cached_property
    def makers(self) -> dict[str, tuple[Any, ...]]:
        """The node that computes a tensor, by its name."""
        return {name: (node,) for node in self.nodes for name in node.output}

    def work(self, node: Any) -> float:
        """Multiplications, or values given where there are none; a free side of a tensor counts as 1."""
        values = max((self._sizes.get(name, 1) for name in node.output), default=1)
        if not self.is_weighted(node):
            return float(values)
        weights = self.constants[node.input[1]].dims
        return float(values * math.prod(weights[1:] if node.op_type == "Conv" else weights[:1]))

    @cached_property
    def _sizes(self) -> dict[str, int]:
        graph = self.model.graph
        return {
            item.name: math.prod(side.dim_value or 1 for side in item.type.tensor_type.shape.dim)
            for item in (*graph.value_info, *graph.output)
        }

    @cached_property
    def read_by_layers(self) -> frozenset[str]:
        """Names of the tensors that go into or come out of nodes up to the last weights."""
        kept = [node for node in self.nodes if node.name in self.before_the_last_weights]
        return frozenset(name for node in kept for name in (*node.input, *node.output))

    @cached_property
    def readers(self) -> dict[str, list[Any]]:
        """Nodes by the name of the tensor that they read."""
        found: dict[str, list[Any]] = {name: [] for node in self.nodes for name in node.output}
        for node in self.nodes:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found


def load(path: Path) -> FloatGraph:
    """Read, fold constants and batch normalisation, bring to an opset that knows scales per channel.

    Raises:
        BundleError: quantized already, an operator that ONNX Runtime does not know, or nothing in it to quantize.
    """
    try:
        found = onnx.load(path)
    except Exception as error:  # protobuf's and onnx's own errors have no common base
        raise BundleError(f"{path.name} cannot be read as ONNX: {' '.join(str(error).split())}") from error
    _refuse_quantized(path, found)
    model = _folded(path)
    _name_nodes(model)
    graph = FloatGraph(model)
    if not [node for node in graph.weighted if node.name not in graph.first]:
        raise BundleError(
            f"{path.name} has no convolution or matrix product besides the first, so that there is nothing to quantize"
        )
    return graph


def _refuse_quantized(path: Path, model: Any) -> None:
    done = sorted({node.op_type for node in model.graph.node if _is_quantized(node)})
    if done:
        raise BundleError(
            f"{path.name} is quantized already (it has {', '.join(done[:3])}); quantize from the float export"
        )


def _is_quantized(node: Any) -> bool:
    return node.op_type in _QUANTIZED or node.op_type.startswith("QLinear")


def _folded(path: Path) -> Any:
    """The graph as ONNX Runtime simplifies it for every machine, in standard operators only."""
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        simplified = Path(folder, "simplified.onnx")
        options.optimized_model_filepath = str(simplified)
        try:
            ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors derive from Exception directly
            raise BundleError(f"{path.name}: ONNX Runtime cannot load it: {reason(error)}") from error
        model = onnx.load(simplified)
    _keep_used_domains(model)
    constants = {item.name for item in model.graph.initializer}
    for item in [item for item in model.graph.input if item.name in constants]:  # as old exporters list them
        model.graph.input.remove(item)
    try:
        if _opset(model) < OPSET:
            model = version_converter.convert_version(model, OPSET)
        model.ir_version = max(model.ir_version, onnx.helper.find_min_ir_version_for(model.opset_import))
        _constants_to_initializers(model)
        return onnx.shape_inference.infer_shapes(model)
    except Exception as error:  # onnx raises RuntimeError, ValueError and its own
        raise BundleError(
            f"{path.name} cannot be brought to opset {OPSET}: {' '.join(str(error).split())[:300]}; export it anew "
            f"with opset {OPSET} or later"
        ) from error


def _keep_used_domains(model: Any) -> None:
    """ONNX Runtime lists all domains that it knows; the file shall need no more than it did."""
    used = {node.domain for node in model.graph.node} | _STANDARD
    kept = [item for item in model.opset_import if item.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _opset(model: Any) -> int:
    return next(int(item.version) for item in model.opset_import if item.domain in _STANDARD)


def _constants_to_initializers(model: Any) -> None:
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        value = next((item.t for item in node.attribute if item.name == "value"), None)
        if value is None:
            continue
        made = model.graph.initializer.add()
        made.CopyFrom(value)
        made.name = node.output[0]
        model.graph.node.remove(node)


def _name_nodes(model: Any) -> None:
    """Give each node a name of its own: exporters leave them out or use one twice."""
    taken: set[str] = set()
    for position, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = next(name for name in _names(node.op_type, position) if name not in taken)
        taken.add(node.name)


def _names(kind: str, position: int) -> Iterator[str]:
    yield f"{kind}_at_{position}"
    for number in range(1, 1 << 30):
        yield f"{kind}_at_{position}_{number}"
