"""A small convolutional classifier for small pictures, such as digits: 0.25 M parameters, any size from 16 x 16."""

from __future__ import annotations

from typing import Literal

import msgspec
from torch import Tensor, nn

TASK = "classification"
SIZE = (64, 64)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """color: "GRAY" for one channel. widths: channels of each stage; every stage halves the sides.

    dropout: share of the last features that is left out in training.
    """

    color: Literal["BGR", "GRAY"] = "BGR"
    widths: tuple[int, ...] = (24, 48, 96, 128)
    dropout: float = 0.2


class Cnn(nn.Module):
    """Pictures (n, 3, h, w) BGR or (n, 1, h, w) grey, from 0 to 1 -> logits (n, classes)."""

    def __init__(self, options: Options, class_count: int) -> None:
        super().__init__()
        self.color = options.color
        layers: list[nn.Module] = []
        inputs = 1 if options.color == "GRAY" else 3
        for width in options.widths:
            layers += [_unit(inputs, width), nn.MaxPool2d(2, ceil_mode=True)]
            inputs = width
        self.features = nn.Sequential(*layers, _unit(inputs, inputs // 2))
        self.dropout = nn.Dropout(options.dropout)
        self.classes = nn.Linear(inputs // 2, class_count)

    def forward(self, x: Tensor) -> Tensor:
        return self.classes(self.dropout(self.features(x).mean((2, 3))))  # type: ignore[no-any-return]


def _unit(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def build(options: Options, class_count: int) -> Cnn:
    return Cnn(options, class_count)
