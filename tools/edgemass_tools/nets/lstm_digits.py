"""An LSTM that reads a small grey picture row by row, such as a handwritten digit."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn

TASK = "sequence"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """side: rows and columns of the picture. hidden: units of the LSTM, whose weights are 4 hidden (side + hidden)."""

    side: int = 28
    hidden: int = 128


class RowReader(nn.Module):
    """Rows (n, rows, side), 0 to 1, light on dark -> logits (n, classes)."""

    def __init__(self, options: Options, class_count: int) -> None:
        super().__init__()
        self.hidden = options.hidden
        self.lstm = nn.LSTM(options.side, options.hidden, batch_first=True)
        self.head = nn.Linear(options.hidden, class_count)

    def forward(self, rows: Tensor) -> Tensor:
        """Whole pictures, from the first row."""
        logits, _ = self.part(rows, self.first(len(rows)))
        return logits

    def part(self, rows: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Some rows further on: the logits so far and the state behind them."""
        seen, state = self.lstm(rows, state)
        return self.head(seen[:, -1]), state

    def first(self, count: int) -> tuple[Tensor, ...]:
        """The state that `count` pictures begin with."""
        zeros = torch.zeros(1, count, self.hidden, device=self.head.weight.device)
        return zeros, zeros

    def state_names(self) -> tuple[str, ...]:
        return "h", "c"


def build(options: Options, class_count: int) -> RowReader:
    return RowReader(options, class_count)
