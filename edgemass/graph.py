"""A model file as families see it while it is being recognised: tensors, operators, metadata, and one observed run.

`bundles` reads it from ONNX or TFLite; a family's `recognise` looks at nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgemass.tensors import AnyArray, Outputs, TensorInfo


@dataclass(frozen=True)
class Node:
    """One operator, inputs and outputs by tensor name.

    kind: the operator's name as its format spells it ("Conv", "Sigmoid", "CONV_2D", "TFLite_Detection_PostProcess").
    attributes: numbers, strings and lists of them; what else an operator carries is left out.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Hints:
    """family: the one that was asked for by name, else "". label_count: of the labels that were given, else 0."""

    family: str = ""
    label_count: int = 0


@dataclass(frozen=True)
class FeatureMap:
    """The answer of one of a head's last convolutions: what is left when all behind it is cut off.

    name: of the tensor, [1, channels, height, width]. constants: those of the arithmetic behind it, nearest first.
    """

    name: str
    channels: int
    height: int
    width: int
    constants: tuple[AnyArray, ...] = ()


@dataclass(frozen=True)
class Graph:
    """What can be known of a model file without knowing what it is for.

    format: "onnx" or "tflite".
    inputs, outputs: in the file's order, batch dimension included, as the runtime reports them; at least one each.
    nodes: in execution order.
    metadata: the file's own key-value texts (ONNX metadata_props; for TFLite what exporters append as a zip).
    labels: one name per class where the file itself carries them, else ().
    runs: raw outputs of a few runs on made-up pictures (noise, a gradient, a flat grey; in that order), to tell applied
        activations from logits and pixels from fractions. Pixels went in as fractions 0..1 into float inputs, as they
        are into uint8, less 128 into int8; state was zero, sizes were those of the picture.
    run_shapes: shape of every input in these runs, by name: free dimensions were given a size.
    hints: what the user said; it decides where the graph does not.
    """

    format: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    nodes: tuple[Node, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    runs: Sequence[Outputs] = ()
    run_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    hints: Hints = Hints()

    def output(self, name: str) -> TensorInfo:
        return next(info for info in self.outputs if info.name == name)

    def input(self, name: str) -> TensorInfo:
        return next(info for info in self.inputs if info.name == name)

    def producer(self, tensor: str) -> Node | None:
        """The operator that writes `tensor`; None for inputs and constants."""
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def kinds(self) -> frozenset[str]:
        return frozenset(node.kind for node in self.nodes)

    def observed_range(self, output: str) -> tuple[float, float]:
        """Smallest and largest real value of an output over all runs."""
        low, high = float("inf"), float("-inf")
        for run in self.runs:
            values = run[output].real()
            if values.size:
                low, high = min(low, float(values.min())), max(high, float(values.max()))
        return low, high
