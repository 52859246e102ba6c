"""Bounds that a model has to keep. Values in, sentences out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemass.errors import UsageError
from edgemass_tools.evaluating.result import ClassificationFigures, DetectionFigures, Result, Row


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """None = not asked for. min_map: of mAP 50-95; min_map50: at IoU 0.5; max_loss: of mAP 50-95 or top-1 against the
    reference; max_ms: median of a frame.
    """

    min_map: float | None = None
    min_map50: float | None = None
    min_top1: float | None = None
    max_loss: float | None = None
    max_ms: float | None = None

    def words(self) -> tuple[str, ...]:
        """What is asked for."""
        asked = (
            (self.min_map, "mAP 50-95 at least {:g}"),
            (self.min_map50, "AP50 at least {:g}"),
            (self.min_top1, "top-1 at least {:g}"),
            (self.max_loss, "loss at most {:g}"),
            (self.max_ms, "a frame at most {:g} ms"),
        )
        return tuple(text.format(bound) for bound, text in asked if bound is not None)


def check(bounds: Bounds, task: str) -> None:
    """Refuse bounds that mean nothing, before anything is measured.

    Raises:
        UsageError: one is out of range, or not of this task.
    """
    shares = {"--min-map": bounds.min_map, "--min-map50": bounds.min_map50, "--min-top1": bounds.min_top1}
    for option, bound in {**shares, "--max-loss": bounds.max_loss}.items():
        if bound is not None and not 0 <= bound <= 1:
            raise UsageError(f"{option} must lie between 0 and 1, found {bound:g}")
    if bounds.max_ms is not None and not (bounds.max_ms > 0 and math.isfinite(bounds.max_ms)):
        raise UsageError(f"--max-ms must be a number of milliseconds above 0, found {bounds.max_ms:g}")
    strange = ("--min-top1",) if task == "detection" else ("--min-map", "--min-map50")
    for option in strange:
        if shares[option] is not None:
            fitting = "--min-map or --min-map50" if task == "detection" else "--min-top1"
            raise UsageError(f"{option} is no bound for a {task} model; give {fitting}")


def misses(bounds: Bounds, result: Result) -> tuple[str, ...]:
    """A sentence for every bound that a held variant does not keep."""
    return tuple(sentence for row in result.rows if row.held for sentence in _of(bounds, result.name(row), row))


def _of(bounds: Bounds, name: str, row: Row) -> list[str]:
    told: list[str] = []
    figures = row.figures
    least: Sequence[tuple[str, float, float | None]] = ()
    if isinstance(figures, DetectionFigures):
        least = (("mAP 50-95", figures.map_50_95, bounds.min_map), ("AP50", figures.map_50, bounds.min_map50))
    elif isinstance(figures, ClassificationFigures):
        least = (("top-1", figures.top1, bounds.min_top1),)
    for what, found, bound in least:
        if bound is not None and found < bound:
            told.append(f"{name}: {what} {found:.4f}, wanted at least {bound:g}: {bound - found:.4f} short")
    loss = row.loss or 0.0  # the reference loses nothing
    if bounds.max_loss is not None and loss > bounds.max_loss:
        told.append(f"{name}: loses {loss:.4f}, wanted at most {bounds.max_loss:g}: {loss - bounds.max_loss:.4f} over")
    frame_ms = row.latency.frame_ms
    if bounds.max_ms is not None and frame_ms > bounds.max_ms:
        told.append(
            f"{name}: a frame takes {frame_ms:.2f} ms, wanted at most {bounds.max_ms:g}: "
            f"{frame_ms - bounds.max_ms:.2f} over"
        )
    return told
