"""Sequence nets as model files: ONNX with its LSTM operator, TFLite with the cell unrolled over one run's length."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from edgemass_tools.exporting import OPSET

SCORES = "scores"
NEXT = "_next"  # behind a state's name where it comes out


class SequenceNet(Protocol):
    """What the nets of TASK "sequence" are, beside being modules."""

    def part(self, inputs: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]: ...

    def first(self, count: int) -> tuple[Tensor, ...]: ...

    def state_names(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Graph:
    """A net as one run of a device sees it.

    module: takes the example's tensors in their order. example: input name -> tensor. outputs: names, in order.
    """

    module: nn.Module
    example: Mapping[str, Tensor]
    outputs: tuple[str, ...]


class _Whole(nn.Module):
    """Everything in one run."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.softmax(self.net(inputs), 1)


class _Part(nn.Module):
    """One run of several."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, inputs: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, after = cast("SequenceNet", self.net).part(inputs, state)
        return torch.softmax(logits, 1), *after


def whole(net: nn.Module, name: str, inputs: Tensor) -> Graph:
    """Without a state. name, inputs: of the input tensor, and an example of it."""
    return Graph(_Whole(net).eval(), {name: inputs}, (SCORES,))


def part(net: nn.Module, name: str, inputs: Tensor) -> Graph:
    """With the state going in and coming out."""
    own = cast("SequenceNet", net)
    first = (
        value.clone() for value in own.first(1)
    )  # one tensor given twice would become one input of the TFLite file
    state = dict(zip(own.state_names(), first, strict=True))
    return Graph(_Part(net).eval(), {name: inputs, **state}, (SCORES, *(key + NEXT for key in state)))


def to_onnx(graph: Graph, path: Path) -> None:
    """Write it by PyTorch's TorchScript exporter, which knows the LSTM operator."""
    with warnings.catch_warnings():  # the exporter warns of itself, and of batches other than the one it is made for
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            tuple(graph.example.values()),
            str(path),
            input_names=list(graph.example),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=False,
        )


def to_tflite(graph: Graph, path: Path) -> None:
    """Write it by LiteRT's converter, which prints, with the tensors named as in ONNX."""
    import litert_torch  # noqa: PLC0415 (takes seconds)

    litert_torch.convert(graph.module, tuple(graph.example.values())).export(str(path))
    _name_tensors(path, list(graph.example), list(graph.outputs))


def _name_tensors(path: Path, inputs: list[str], outputs: list[str]) -> None:
    """Give a file's inputs and outputs names that mean something, in the order of its signature."""
    import flatbuffers  # type: ignore[import-untyped] # noqa: PLC0415 (comes with LiteRT)
    from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    for maps, names in ((signature.inputs, inputs), (signature.outputs, outputs)):
        for entry, name in zip(sorted(maps, key=_place), names, strict=True):
            graph.tensors[entry.tensorIndex].name = name
            entry.name = name
    builder = flatbuffers.Builder(path.stat().st_size)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _place(entry: Any) -> int:
    """`args_3`, `output_3` -> 3."""
    return int(entry.name.decode().rpartition("_")[2])
