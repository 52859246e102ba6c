"""An LSTM that reads the bytes of a text.

It answers from the mean of all that it saw and not from its last state, so that what stands behind the text's end (byte
0, the padding of a chunk) has no say: the sum and the count are parts of its state, beside h and c.
"""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

TASK = "sequence"
BYTES = 256
PADDING = 0


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """embedding: numbers that stand for a byte. hidden: units of the LSTM."""

    embedding: int = 32
    hidden: int = 96


class ByteReader(nn.Module):
    """Bytes (n, length) of int32 or int64 -> logits (n, classes)."""

    def __init__(self, options: Options, class_count: int) -> None:
        super().__init__()
        self.hidden = options.hidden
        self.embedding = nn.Embedding(BYTES, options.embedding)
        self.lstm = nn.LSTM(options.embedding, options.hidden, batch_first=True)
        self.head = nn.Linear(options.hidden, class_count)

    def forward(self, text: Tensor) -> Tensor:
        """Whole texts, padded at their ends."""
        logits, _ = self.part(text, self.first(len(text)))
        return logits

    def part(self, text: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Some bytes further on: the logits so far and the state behind them."""
        h, c, total, count = state
        seen, (h, c) = self.lstm(self.embedding(text), (h, c))
        real = (text != PADDING).to(seen.dtype).unsqueeze(2)
        total = total + (seen * real).sum(1)
        count = count + real.sum(1)
        return self.head(total / count.clamp(min=1)), (h, c, total, count)

    def first(self, count: int) -> tuple[Tensor, ...]:
        """The state that `count` texts begin with."""
        device = self.head.weight.device
        zeros = torch.zeros(1, count, self.hidden, device=device)
        return zeros, zeros, torch.zeros(count, self.hidden, device=device), torch.zeros(count, 1, device=device)

    def state_names(self) -> tuple[str, ...]:
        return "h", "c", "total", "count"


def build(options: Options, class_count: int) -> ByteReader:
    return ByteReader(options, class_count)
