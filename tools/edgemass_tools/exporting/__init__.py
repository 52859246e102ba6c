"""Checkpoints into bundles: a file for each runtime, and a manifest that says how to feed it and read its answer.

A kind of net has one file here and one row in EXPORTERS.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from edgemass.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgemass.manifest import InputSpec, Manifest, OutputSpec
    from edgemass_tools.checkpoint import Checkpoint

EXPORTERS = {  # kind of net -> the module that exports it, imported when first asked for
    "edge-detector": "edgemass_tools.exporting.edge_detector",
    "faster-rcnn": "edgemass_tools.exporting.faster_rcnn",
    "squeezenet": "edgemass_tools.exporting.classifier",
    "cnn": "edgemass_tools.exporting.classifier",
}

OPSET = 17
"""Of ONNX files: what ONNX Runtime 1.19, the oldest that edgemass takes, and converters for accelerators read."""


class ExporterModule(Protocol):
    """What a module of EXPORTERS offers."""

    def manifest(self, checkpoint: Checkpoint, name: str) -> Manifest:
        """How the ONNX file is fed and read; its one variant is a placeholder."""

    def to_onnx(self, net: nn.Module, manifest: Manifest, path: Path) -> None:
        """Write the net, with the tensor names that the manifest has."""


class TfliteModule(Protocol):
    """What a module of EXPORTERS offers besides, where its net can become a TFLite file."""

    def for_tflite(self, net: nn.Module, manifest: Manifest) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """The net as LiteRT likes it, channels last, and an example of its inputs."""

    def tflite_specs(self, manifest: Manifest, outputs: tuple[str, ...]) -> tuple[InputSpec, OutputSpec]:
        """How the TFLite file is fed and read; the input's name is left to the caller.

        outputs: tensor names of the file, in the order in which the net returns them.
        """


def load(kind: str) -> ExporterModule:
    """The exporter of a kind of net.

    Raises:
        UsageError: there is none.
    """
    if kind not in EXPORTERS:
        raise UsageError(f"nets of kind {kind!r} cannot be exported; those that can are {', '.join(EXPORTERS)}")
    return cast("ExporterModule", importlib.import_module(EXPORTERS[kind]))


def load_tflite(kind: str) -> TfliteModule | None:
    """The same for TFLite, None where the net cannot become one."""
    module = load(kind)
    return cast("TfliteModule", module) if hasattr(module, "for_tflite") else None
