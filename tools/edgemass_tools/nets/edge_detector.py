"""A small anchor-free detector for integer arithmetic on small boards.

Dense 3x3 convolutions, since their 8-bit kernels reach many times the speed of depthwise ones; ReLU, since it costs
nothing after quantization; no residual sum at stride 4, where it would cost more than the convolutions (1.6 of 4.0 ms
at 384x288, measured on one core of an AVX-512 VNNI processor). Three levels with a feature pyramid down and up; per
cell the class logits and the distances to the four sides in strides, decoded outside of the graph (family `levels`,
one bin).
"""

from __future__ import annotations

import math

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

TASK = "detection"
STRIDES = (8, 16, 32)
SIDES = 4
PRIOR = 0.01
"""Share of cells that hold something, for the first bias: RetinaNet (Lin et al., ICCV 2017), section 4.1."""
FIRST_DISTANCE = 3.0


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """widths: channels at stride 2, 4, 8, 16, 32. depths: bottlenecks at stride 8, 16, 32.

    neck: channels of the pyramid and the heads. head_depth: convolutions of each head.
    """

    widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 160)
    depths: tuple[int, int, int] = (1, 2, 1)
    neck: int = 48
    head_depth: int = 2


class Unit(nn.Sequential):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Bottleneck(nn.Module):
    """1x1 to half the channels, 3x3 back, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Unit(channels, channels // 2, 1)
        self.widen = Unit(channels // 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.widen(self.narrow(x))  # type: ignore[no-any-return]


class Pooling(nn.Module):
    """Three 5x5 poolings one after the other, all of them looked at (Ultralytics' SPPF): a wide view at little cost."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Unit(channels, channels // 2, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.widen = Unit(channels * 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [self.narrow(x)]
        for _ in range(3):
            pooled.append(self.pool(pooled[-1]))
        return self.widen(torch.cat(pooled, 1))  # type: ignore[no-any-return]


class Head(nn.Module):
    """One level: class logits (n, classes, h, w) and distances (n, 4, h, w) to left, top, right, bottom in strides."""

    def __init__(self, channels: int, depth: int, class_count: int) -> None:
        super().__init__()
        self.tower = nn.Sequential(*[Unit(channels, channels) for _ in range(depth)])
        self.classes = nn.Conv2d(channels, class_count, 1)
        self.distances = nn.Conv2d(channels, SIDES, 1)
        nn.init.constant_(self.classes.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        nn.init.constant_(self.distances.bias, FIRST_DISTANCE)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.tower(x)
        return self.classes(x), self.distances(x)


class EdgeDetector(nn.Module):
    """See the module. Pictures (n, 3, h, w) BGR from 0 to 1, sides a multiple of 32."""

    def __init__(self, options: Options, class_count: int) -> None:
        super().__init__()
        widths, neck = options.widths, options.neck
        self.stem = Unit(3, widths[0], stride=2)
        stages: list[nn.Module] = [Unit(widths[0], widths[1], stride=2)]
        for index, depth in enumerate(options.depths, start=2):
            blocks = [Bottleneck(widths[index]) for _ in range(depth)]
            stages.append(nn.Sequential(Unit(widths[index - 1], widths[index], stride=2), *blocks))
        self.stages = nn.ModuleList(stages)
        self.pooling = Pooling(widths[-1])
        self.lateral = nn.ModuleList([Unit(width, neck, 1) for width in widths[2:]])
        self.down = nn.ModuleList([Unit(neck, neck), Unit(neck, neck)])
        self.up = nn.ModuleList([Unit(neck, neck, stride=2), Unit(neck, neck, stride=2)])
        self.heads = nn.ModuleList([Head(neck, options.head_depth, class_count) for _ in STRIDES])

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        x = self.stages[0](self.stem(x))
        fine = self.stages[1](x)
        middle = self.stages[2](fine)
        coarse = self.pooling(self.stages[3](middle))
        fine, middle, coarse = (unit(x) for unit, x in zip(self.lateral, (fine, middle, coarse), strict=True))
        middle = self.down[0](middle + functional.interpolate(coarse, scale_factor=2.0))
        fine = self.down[1](fine + functional.interpolate(middle, scale_factor=2.0))
        middle = middle + self.up[0](fine)
        coarse = coarse + self.up[1](middle)
        return [head(level) for head, level in zip(self.heads, (fine, middle, coarse), strict=True)]


def build(options: Options, class_count: int) -> EdgeDetector:
    return EdgeDetector(options, class_count)
