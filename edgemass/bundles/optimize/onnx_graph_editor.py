"""An ONNX graph that is being rewritten: who makes and who reads each tensor, and the values of its constants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from edgemass.tensors import AnyArray


class Editor:
    """Works on the model in place. Every change goes through these methods, so that the tables stay true."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._names = 0
        self._index()

    def _index(self) -> None:
        graph = self.model.graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(node)

    @property
    def nodes(self) -> list[Any]:
        return list(self.model.graph.node)

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]

    def input(self, name: str) -> Any:
        """The value of an input that a caller feeds."""
        return next(value for value in self.model.graph.input if value.name == name)

    def producer(self, tensor: str) -> Any | None:
        """The node that writes a tensor; None for inputs and constants."""
        return self._producers.get(tensor)

    def readers(self, tensor: str) -> list[Any]:
        return list(self._readers.get(tensor, []))

    def constant(self, tensor: str) -> AnyArray | None:
        """The value of a constant; None for what is computed."""
        if tensor in self._constants:
            return numpy_helper.to_array(self._constants[tensor])
        node = self._producers.get(tensor)
        if node is not None and node.op_type == "Constant":
            value = attributes(node).get("value")
            return None if value is None else numpy_helper.to_array(value)
        return None

    def add_constant(self, value: AnyArray, hint: str) -> str:
        """A new constant with a name that nothing else has."""
        name = self.new_name(hint)
        tensor = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self.model.graph.initializer.append(tensor)
        self._constants[name] = self.model.graph.initializer[-1]
        return name

    def new_name(self, hint: str) -> str:
        while True:
            self._names += 1
            name = f"{hint}_{self._names}"
            if name not in self._producers and name not in self._constants and name not in self._readers:
                return name

    def replace(self, old: Sequence[Any], new: Sequence[Any]) -> None:
        """Put nodes into the place of others; the new ones stand where the first of the old ones stood.

        old: empty puts them at the beginning.
        """
        gone = {id(node) for node in old}
        nodes = self.nodes
        place = next((index for index, node in enumerate(nodes) if id(node) in gone), 0)
        kept_before = [node for node in nodes[:place] if id(node) not in gone]
        kept_after = [node for node in nodes[place:] if id(node) not in gone]
        self._set_nodes([*kept_before, *new, *kept_after])

    def read_instead(self, old: str, new: str, *, readers: Iterable[Any]) -> None:
        """Let these nodes read another tensor."""
        for node in readers:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new
        self._index()

    def answer_with(self, outputs: Sequence[Any]) -> None:
        """Set the graph's outputs, and drop what none of them needs."""
        del self.model.graph.output[:]
        self.model.graph.output.extend(outputs)
        self.prune()

    def prune(self) -> None:
        """Drop nodes and constants that no output needs. A constant is no input, though old files list it as one."""
        fed = [value for value in self.model.graph.input if value.name not in self._constants]
        inputs = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in fed]
        del self.model.graph.input[:]
        self.model.graph.input.extend(inputs)
        wanted = set(self.outputs)
        kept: list[Any] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                kept.append(node)
                wanted.update(node.input)
                wanted.update(_captured(node))
        self._set_nodes(kept[::-1])
        used = {name for node in kept for name in (*node.input, *_captured(node))} | set(self.outputs)
        constants = [tensor for tensor in self.model.graph.initializer if tensor.name in used]
        copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in constants]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(copies)
        del self.model.graph.value_info[:]  # they speak of tensors that are gone or have other shapes
        self._index()

    def _set_nodes(self, nodes: Sequence[Any]) -> None:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.model.graph.node[:]
        self.model.graph.node.extend(copies)
        self._index()


def attributes(node: Any) -> dict[str, Any]:
    return {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}


def _captured(node: Any) -> Iterable[str]:
    """Tensors of the outer graph that nested graphs may read, by name."""
    for item in node.attribute:
        for graph in [*([item.g] if item.HasField("g") else []), *item.graphs]:
            for inner in graph.node:
                yield from inner.input
                yield from _captured(inner)
            yield from (value.name for value in graph.output)
