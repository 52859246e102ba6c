"""The curves of a training as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def draw(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Losses on the left, measures on the right, over epochs. Writes a PNG; nothing where there is no epoch yet."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (slow, and only for pictures)
    from matplotlib.figure import Figure  # noqa: PLC0415

    if not history:
        return
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    names = sorted({name for row in history for name in row} - {"epoch"})
    for name in names:
        rows = [(row["epoch"], row[name]) for row in history if name in row]
        axes = left if name.startswith("loss_") else right
        axes.plot(*zip(*rows, strict=True), marker="" if len(rows) > 1 else "o", label=name.removeprefix("loss_"))
    for axes, title in ((left, "loss"), (right, "on held-out data")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False, fontsize=8)
    right.set_ylim(0, 1)
    figure.savefig(path, dpi=100)
