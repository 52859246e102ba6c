"""Classifiers of whole pictures: logits out, of which the device makes probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
import torch
from torch import Tensor, nn

from edgemass.manifest import InputSpec, Manifest, OutputSpec
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.exporting import OPSET
from edgemass_tools.training.classification import SCORES, Color, torch_manifest


class _ChannelsLast(nn.Module):
    """Pictures (1, h, w, channels) in: the order in which TFLite computes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]


def manifest(checkpoint: Checkpoint, name: str) -> Manifest:
    color = cast("Color", checkpoint.options.get("color", "BGR"))
    return torch_manifest(name, checkpoint.labels, (checkpoint.width, checkpoint.height), color)


def to_onnx(net: nn.Module, manifest: Manifest, path: Path) -> None:
    spec = manifest.input
    torch.onnx.export(
        net.eval(),
        (_example(spec),),
        str(path),
        input_names=[spec.name],
        output_names=[SCORES],
        opset_version=OPSET,
        dynamo=False,  # as in edge_detector
    )


def for_tflite(net: nn.Module, manifest: Manifest) -> tuple[nn.Module, tuple[Tensor, ...]]:
    return _ChannelsLast(net).eval(), (_example(manifest.input).permute(0, 2, 3, 1).contiguous(),)


def tflite_specs(manifest: Manifest, outputs: tuple[str, ...]) -> tuple[InputSpec, OutputSpec]:
    picture = msgspec.structs.replace(manifest.input, layout="NHWC")
    return picture, msgspec.structs.replace(manifest.output, tensors={SCORES: outputs})


def _example(spec: InputSpec) -> Tensor:
    assert spec.width
    assert spec.height
    return torch.zeros(1, 1 if spec.color == "GRAY" else 3, spec.height, spec.width)
