"""The one-stage detector: pictures in as the device has them, maps of classes and distances out; boxes are its work."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from edgemass.manifest import InputSpec, Manifest, OutputSpec
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.exporting import OPSET
from edgemass_tools.nets.edge_detector import SIDES, STRIDES
from edgemass_tools.training.detection import CLASSES, DISTANCES, named, torch_manifest


class _Flat(nn.Module):
    """The heads as ONNX names them, level by level."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(named(self.net, x).values())


class _ChannelsLast(nn.Module):
    """Pictures (1, h, w, 3) in, rows (1, cells, channels) out: the order in which TFLite computes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = named(self.net, x.permute(0, 3, 1, 2)).values()
        return tuple(item.permute(0, 2, 3, 1).reshape(1, -1, item.shape[1]) for item in maps)


def manifest(checkpoint: Checkpoint, name: str) -> Manifest:
    made = torch_manifest(checkpoint.labels, (checkpoint.width, checkpoint.height))
    return msgspec.structs.replace(made, name=name)


def to_onnx(net: nn.Module, manifest: Manifest, path: Path) -> None:
    spec = manifest.input
    assert spec.width
    assert spec.height
    torch.onnx.export(
        _Flat(net).eval(),
        (torch.zeros(1, 3, spec.height, spec.width),),
        str(path),
        input_names=[spec.name],
        output_names=[f"{role}{stride}" for stride in STRIDES for role in (CLASSES, DISTANCES)],
        opset_version=OPSET,
        dynamo=False,  # the other exporter needs a package more and leaves names of its own
    )


def for_tflite(net: nn.Module, manifest: Manifest) -> tuple[nn.Module, tuple[Tensor, ...]]:
    spec = manifest.input
    assert spec.width
    assert spec.height
    return _ChannelsLast(net).eval(), (torch.zeros(1, spec.height, spec.width, 3),)


def tflite_specs(manifest: Manifest, outputs: tuple[str, ...]) -> tuple[InputSpec, OutputSpec]:
    assert len(outputs) == 2 * len(STRIDES), f"{SIDES} sides and classes of each level"
    picture = msgspec.structs.replace(manifest.input, layout="NHWC")
    tensors = {CLASSES: outputs[0::2], DISTANCES: outputs[1::2]}
    options = {**manifest.output.options, "layout": "NC"}
    return picture, msgspec.structs.replace(manifest.output, tensors=tensors, options=options)
