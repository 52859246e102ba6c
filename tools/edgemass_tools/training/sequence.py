"""The Jobs that train sequence nets: pictures read row by row, and texts read byte by byte. Always in fp32."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgemass.tensors import AnyArray
from edgemass_tools.data.sequences import Labelled
from edgemass_tools.nets.lstm_text import PADDING

MEASURED_AT_ONCE = 250
TURN, SHIFT, STRETCH, SHEAR = 0.2, 0.12, 0.12, 0.2  # radians; of half the side; either way; of half the side
CUT_BYTES = 128
"""Longer texts are cut at a random place in training; a net that reads on never notices."""


@dataclass(frozen=True)
class Batch:
    """inputs: as the net takes them. class_id: (n,)."""

    inputs: Tensor
    class_id: Tensor


@dataclass
class _Job(ABC):
    """What both have in common.

    smoothing: of the true class (label smoothing).
    """

    net: nn.Module
    train: Labelled  # type: ignore[type-arg]
    held: Labelled  # type: ignore[type-arg]
    batch_size: int = 64
    seed: int = 0
    smoothing: float = 0.05
    key: str = "top1"

    def steps(self, epoch: int) -> int:  # noqa: ARG002 (of Job)
        return math.ceil(len(self.train.items) / self.batch_size)

    def batches(self, epoch: int) -> Iterator[Batch]:
        draw = np.random.default_rng((self.seed, epoch))
        order = draw.permutation(len(self.train.items))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size].tolist()
            items = [self.train.items[place] for place in chosen]
            class_id = torch.tensor([self.train.class_id[place] for place in chosen])
            yield Batch(self.drawn(items, draw), class_id)

    @abstractmethod
    def drawn(self, items: Sequence[object], draw: np.random.Generator) -> Tensor:
        """Items as they are learnt from, changed a little."""

    @abstractmethod
    def plain(self, items: Sequence[object]) -> Tensor:
        """Items as a device sees them."""

    def loss(self, net: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        device = next(net.parameters()).device
        with torch.autocast(device.type, enabled=False):
            logits = net(batch.inputs.to(device))
        return {"classes": functional.cross_entropy(logits, batch.class_id.to(device), label_smoothing=self.smoothing)}

    def measure(self, net: nn.Module) -> dict[str, float]:
        """Share of held-out items whose class is the best, or among the five best."""
        device = next(net.parameters()).device
        right = {1: 0, 5: 0}
        for start in range(0, len(self.held.items), MEASURED_AT_ONCE):
            part = slice(start, start + MEASURED_AT_ONCE)
            truth = torch.tensor(self.held.class_id[part])[:, None]
            with torch.inference_mode():
                best = (
                    net(self.plain(self.held.items[part]).to(device)).cpu().argsort(dim=1, descending=True, stable=True)
                )
            for count in right:
                right[count] += int((best[:, :count] == truth).any(1).sum())
        total = len(self.held.items)
        return {f"top{count}": found / total for count, found in right.items()} if total else {}


@dataclass
class RowJob(_Job):
    """Pictures (side, side) of uint8; in training turned, shifted, stretched and slanted a little."""

    def plain(self, items: Sequence[object]) -> Tensor:
        return torch.from_numpy(np.stack(items)).float() / 255  # type: ignore[arg-type]

    def drawn(self, items: Sequence[object], draw: np.random.Generator) -> Tensor:
        pictures = self.plain(items)[:, None]
        placement = torch.from_numpy(_placements(len(items), draw)).float()
        grid = functional.affine_grid(placement, list(pictures.shape), align_corners=False)
        return functional.grid_sample(pictures, grid, align_corners=False)[:, 0]


@dataclass
class ByteJob(_Job):
    """Texts; in training those longer than CUT_BYTES are cut."""

    def plain(self, items: Sequence[object]) -> Tensor:
        return _padded([item for item in items if isinstance(item, bytes)])

    def drawn(self, items: Sequence[object], draw: np.random.Generator) -> Tensor:
        cut = []
        for item in items:
            assert isinstance(item, bytes)
            start = int(draw.integers(0, max(1, len(item) - CUT_BYTES + 1)))
            cut.append(item[start : start + CUT_BYTES])
        return _padded(cut)


def _padded(texts: Sequence[bytes]) -> Tensor:
    """(n, longest) int32, padded at the end."""
    found = torch.full((len(texts), max(1, *map(len, texts))), PADDING, dtype=torch.int32)
    for row, text in enumerate(texts):
        found[row, : len(text)] = torch.tensor(list(text), dtype=torch.int32)
    return found


def _placements(count: int, draw: np.random.Generator) -> AnyArray:
    """Affine placements (n, 2, 3) as torch.nn.functional.affine_grid takes them."""
    angle = draw.uniform(-TURN, TURN, count)
    across, down = 1 + draw.uniform(-STRETCH, STRETCH, (2, count))
    slant = draw.uniform(-SHEAR, SHEAR, count)
    shift = draw.uniform(-SHIFT, SHIFT, (count, 2))
    cos, sin = np.cos(angle), np.sin(angle)
    rows = [
        [cos * across, (slant * cos - sin) * down, shift[:, 0]],
        [sin * across, (slant * sin + cos) * down, shift[:, 1]],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
