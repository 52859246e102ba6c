"""A net of PyTorch behind the device's Detector, so that what is measured in training is what a device would find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor as TorchTensor
from torch import nn

from edgemass.manifest import Manifest, Variant
from edgemass.tensors import AnyArray, Outputs, Tensor, TensorInfo

Answers = Callable[[nn.Module, TorchTensor], Mapping[str, TorchTensor]]
"""Runs a net on a batch of one and names its outputs."""

IN_MEMORY = Variant(name="torch", file="none.onnx", runtime="onnx", sha256="", size_bytes=0)
"""What the manifest of a net says in place of a file."""

PROBE = 128
"""Pixels of a side that is free, to find out what a net answers."""


class TorchBackend:
    """`edgemass.backends.Backend` over a net in memory; the net may go on learning between two runs."""

    requested = "torch"
    version = str(torch.__version__)

    def __init__(self, net: nn.Module, manifest: Manifest, answers: Answers) -> None:
        self._net = net
        self._answers = answers
        spec = manifest.input
        self._input = spec.name
        free = spec.width is None
        sides = {"N": 1, "C": 1 if spec.color == "GRAY" else 3, "H": spec.height, "W": spec.width}
        shape = tuple(sides[axis] for axis in spec.layout)
        self.inputs: tuple[TensorInfo, ...] = (TensorInfo(spec.name, shape, spec.dtype),)
        found = self._run(torch.zeros([PROBE if side is None else side for side in shape]))
        self.outputs: tuple[TensorInfo, ...] = tuple(
            # A net that takes pictures of any size answers in as many rows as it likes.
            TensorInfo(name, (None, *value.shape[1:]) if free else tuple(value.shape), str(value.numpy().dtype))
            for name, value in found.items()
        )

    @property
    def name(self) -> str:
        return "torch"

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        found = self._run(torch.from_numpy(inputs[self._input]))
        return {name: Tensor(value.numpy()) for name, value in found.items()}

    def _run(self, picture: TorchTensor) -> dict[str, TorchTensor]:
        trained = self._net.training
        self._net.eval()
        device = next(self._net.parameters()).device
        with torch.inference_mode():
            answers = self._answers(self._net, picture.to(device))
            found = {name: _plain(value) for name, value in answers.items()}
        self._net.train(trained)
        return found

    def close(self) -> None:
        return


def _plain(value: TorchTensor) -> TorchTensor:
    return (value.float() if value.is_floating_point() else value).cpu()
