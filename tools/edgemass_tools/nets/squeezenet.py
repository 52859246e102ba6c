"""SqueezeNet 1.1 (Iandola et al., 2016; version 1.1 of the paper's repository): 0.72 M parameters and the classes.

Fire modules: 1x1 convolutions squeeze the channels, 1x1 and 3x3 ones side by side widen them again. As there, all
poolings round up, and the last convolution gives the classes, over which the whole picture is averaged.
"""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

TASK = "classification"
COLOR = "BGR"
SIZE = (224, 224)
_LAST_SPREAD = 0.01  # of the first weights of the last convolution, as in the repository's train_val.prototxt
_FIRES = (  # inputs, squeezed, widened on either way; None = pooling
    (64, 16, 64),
    (128, 16, 64),
    None,
    (128, 32, 128),
    (256, 32, 128),
    None,
    (256, 48, 192),
    (384, 48, 192),
    (384, 64, 256),
    (512, 64, 256),
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """dropout: share of what the last convolution sees that is left out in training.

    norm: batch normalisation behind each convolution but the last; the paper has none. With it the net learns from
        hundreds of pictures instead of a million, and an export folds it away.
    """

    dropout: float = 0.5
    norm: bool = True


class Fire(nn.Module):
    """(n, inputs, h, w) -> (n, 2 x wide, h, w)."""

    def __init__(self, inputs: int, narrow: int, wide: int, *, norm: bool) -> None:
        super().__init__()
        self.squeeze = _unit(inputs, narrow, 1, norm=norm)
        self.left = _unit(narrow, wide, 1, norm=norm)
        self.right = _unit(narrow, wide, 3, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze(x)
        return torch.cat([self.left(x), self.right(x)], 1)


class SqueezeNet(nn.Module):
    """Pictures (n, 3, h, w) BGR from 0 to 1, sides from 32 -> logits (n, classes)."""

    color = COLOR

    def __init__(self, options: Options, class_count: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_unit(3, 64, 3, stride=2, padding=0, norm=options.norm), _pooling()]
        layers += [_pooling() if fire is None else Fire(*fire, norm=options.norm) for fire in _FIRES]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(options.dropout)
        self.classes = nn.Conv2d(2 * 256, class_count, 1)
        nn.init.normal_(self.classes.weight, std=_LAST_SPREAD)
        assert self.classes.bias is not None
        nn.init.zeros_(self.classes.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.classes(self.dropout(self.features(x)))
        return x.relu().mean((2, 3))


def _pooling() -> nn.Module:
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def _unit(
    inputs: int, outputs: int, kernel: int, *, norm: bool, stride: int = 1, padding: int | None = None
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 if padding is None else padding, bias=not norm)
    ]
    if norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers, nn.ReLU(inplace=True))


def build(options: Options, class_count: int) -> SqueezeNet:
    return SqueezeNet(options, class_count)
