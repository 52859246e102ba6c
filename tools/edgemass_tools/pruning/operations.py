"""What a net costs: multiply-accumulates of its convolutions and linear layers, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One layer in a run. places: times that its kernel is applied. outputs, inputs: channels. kernel: its area."""

    places: int
    outputs: int
    inputs: int
    kernel: int

    @property
    def operations(self) -> int:
        return self.places * self.outputs * self.inputs * self.kernel


def layers(net: nn.Module, size: tuple[int, int]) -> dict[nn.Module, Layer]:
    """What a run on one picture of this size (width, height) asks of each layer."""
    found: dict[nn.Module, Layer] = {}

    def note(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1]
            found[layer] = Layer(
                output.shape[2] * output.shape[3], layer.out_channels, layer.in_channels // layer.groups, kernel
            )
        elif isinstance(layer, nn.Linear):
            found[layer] = Layer(output[..., 0].numel(), layer.out_features, layer.in_features, 1)

    hooks = [layer.register_forward_hook(note) for layer in net.modules()]
    trained = net.training
    net.eval()
    try:
        with torch.inference_mode():
            net(torch.zeros(1, 3, size[1], size[0], device=next(net.parameters()).device))
    finally:
        net.train(trained)
        for hook in hooks:
            hook.remove()
    return found


def count(net: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-accumulates of a run on one picture of this size (width, height)."""
    return sum(layer.operations for layer in layers(net, size).values())


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
