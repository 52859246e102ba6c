"""The two-stage detector as FasterRCNN of the ONNX zoo: a picture of any size in; boxes, labels and scores out."""

from __future__ import annotations

import warnings
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from edgemass.manifest import Manifest
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.exporting import OPSET
from edgemass_tools.training.two_stage import torch_manifest

OUTPUTS = ("boxes", "labels", "scores")
SIDES = 128, 160
"""Height and width of the picture that the graph is traced with; it takes any multiple of 32."""


class _Ordered(nn.Module):
    """The answers in the order of OUTPUTS."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        found = self.net(picture)
        return tuple(found[name] for name in OUTPUTS)


def manifest(checkpoint: Checkpoint, name: str) -> Manifest:
    made = torch_manifest(checkpoint.labels, (checkpoint.width, checkpoint.height))
    return msgspec.structs.replace(made, name=name)


def to_onnx(net: nn.Module, manifest: Manifest, path: Path) -> None:
    with warnings.catch_warnings():
        # Of its age, and of shapes that nets.boxes takes care of.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        warnings.filterwarnings("ignore", message="Exporting aten::index operator of advanced indexing")
        torch.onnx.export(
            _Ordered(net).eval(),
            (torch.zeros(3, *SIDES),),
            str(path),
            input_names=[manifest.input.name],
            output_names=list(OUTPUTS),
            dynamic_axes={manifest.input.name: {1: "height", 2: "width"}} | {name: {0: "found"} for name in OUTPUTS},
            opset_version=OPSET,
            dynamo=False,  # the other exporter does not know the symbolic form of nets.boxes
        )
