"""What an evaluation found: one row for each variant, as text, as JSON, and for a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgemass.tensors import AnyArray
from edgemass_tools.evaluating.class_scores import Mean, Summary
from edgemass_tools.evaluating.matches import Point
from edgemass_tools.speed import Latency


class Size(msgspec.Struct, frozen=True):
    """ap, ar: COCO's, of boxes of one size, at most 100 finds a picture; None where there is no such box."""

    ap: float | None
    ar: float | None
    boxes: int


class DetectedClass(msgspec.Struct, frozen=True):
    """best: the score of the highest F1 at IoU 0.5; None where nothing is found."""

    map_50_95: float
    map_50: float
    boxes: int
    best: Point | None
    at_score: Point


class DetectionFigures(msgspec.Struct, frozen=True):
    """COCO's figures, means over the classes that the model knows and that have a box.

    ar_1, ar_10, ar_100: average recall with that many finds a picture. best, at_score: all classes pooled, IoU 0.5.
    """

    map_50_95: float
    map_50: float
    map_75: float
    ar_1: float
    ar_10: float
    ar_100: float
    sizes: dict[str, Size]
    best: Point | None
    at_score: Point
    per_class: dict[str, DetectedClass]
    images: int
    boxes: int
    unknown_categories: tuple[str, ...]

    @property
    def main(self) -> float:
        return self.map_50_95


class LabelFigures(msgspec.Struct, frozen=True):
    """See class_scores.ClassFigures."""

    precision: float
    recall: float
    f1: float
    images: int
    auc: float | None


class ClassificationFigures(msgspec.Struct, frozen=True):
    """confusion: (true label, answer, pictures). macro, weighted, auc: see class_scores.Summary."""

    top1: float
    top5: float
    macro: Mean
    weighted: Mean
    auc: float | None
    per_class: dict[str, LabelFigures]
    confusion: list[tuple[str, str, int]]
    images: int
    right: int

    @property
    def main(self) -> float:
        return self.top1


@dataclass(frozen=True)
class Shape:
    """A box on a picture. box: left, top, width, height in pixels. kind: how it came out. score: of a find."""

    kind: str
    label: str
    box: tuple[float, float, float, float]
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Example:
    """A picture worth looking at. jpeg: the picture; shapes: in its pixels. caption: what went wrong."""

    jpeg: bytes
    width: int
    height: int
    caption: str
    shapes: tuple[Shape, ...] = ()


@dataclass(frozen=True, eq=False)
class Row:
    """One variant.

    loss: of the main figure against the reference, over the classes that both know; None for the reference itself.
    held: a gate's bounds apply. curve, curves: precision at recall 0, 0.01, ... 1 (IoU 0.5), the mean and by class.
    summary: of a classifier, by class id. examples: worst first.
    """

    model: str
    variant: str
    backend: str
    precision: str
    size_bytes: int
    score: float
    latency: Latency
    figures: DetectionFigures | ClassificationFigures
    loss: float | None
    held: bool
    labels: tuple[str, ...] = ()
    curve: AnyArray | None = None
    curves: dict[str, AnyArray] = field(default_factory=dict)
    summary: Summary | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """rows: the reference first. data: what was measured on, in words. notes: sentences worth knowing. misses: of the
    gate; bounds: what it asks for, in words.
    """

    task: str
    rows: tuple[Row, ...]
    data: str
    threads: int
    notes: tuple[str, ...]
    bounds: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()

    def name(self, row: Row) -> str:
        """The shortest name that tells rows apart."""
        return row.variant if len({item.model for item in self.rows}) == 1 else f"{row.model} {row.variant}"


def as_json(result: Result) -> str:
    """For scripts: one object; each variant has at least the keys of `edgemass eval --json`."""
    variants = [
        {
            "model": row.model,
            "variant": row.variant,
            "backend": row.backend,
            "precision": row.precision,
            "size_bytes": row.size_bytes,
            "frame_ms": round(row.latency.frame_ms, 3),
            "run_ms": round(row.latency.run_ms, 3),
            "loss": row.loss,
            "held": row.held,
            **msgspec.to_builtins(row.figures),
        }
        for row in result.rows
    ]
    made: dict[str, Any] = {
        "task": result.task,
        "data": result.data,
        "threads": result.threads,
        "variants": variants,
        "notes": result.notes,
        "gate": {"bounds": result.bounds, "passed": not result.misses, "misses": result.misses},
    }
    return msgspec.json.encode(made).decode()


Column = tuple[str, list[str]]


def columns(result: Result) -> list[Column]:
    """The table of all variants: heads and cells, the same for text and reports."""
    rows = result.rows
    figures: list[Column] = []
    detected = [row.figures for row in rows if isinstance(row.figures, DetectionFigures)]
    if detected:
        figures = [
            ("mAP 50-95", [number(item.map_50_95) for item in detected]),
            ("AP50", [number(item.map_50) for item in detected]),
            ("AP75", [number(item.map_75) for item in detected]),
            *((f"AP {size}", [number(item.sizes[size].ap) for item in detected]) for size in detected[0].sizes),
        ]
    classified = [row.figures for row in rows if isinstance(row.figures, ClassificationFigures)]
    if classified:
        figures = [
            ("top-1", [number(item.top1) for item in classified]),
            ("top-5", [number(item.top5) for item in classified]),
            ("macro F1", [number(item.macro.f1) for item in classified]),
            ("AUC", [number(item.auc) for item in classified]),
        ]
    return [
        ("variant", [result.name(row) for row in rows]),
        *figures,
        ("loss", ["reference" if row.loss is None else number(row.loss) for row in rows]),
        ("frame ms", [f"{row.latency.frame_ms:.2f}" for row in rows]),
        ("run ms", [f"{row.latency.run_ms:.2f}" for row in rows]),
        ("MB", [f"{row.size_bytes / 1e6:.2f}" for row in rows]),
        ("runs on", [row.backend for row in rows]),
    ]


def number(value: float | None) -> str:
    """Three decimals, without the sign of a zero; a dash where there is no figure."""
    return "-" if value is None else f"{round(value, 3) + 0.0:.3f}"


def as_text(result: Result) -> str:
    """For people on a terminal."""
    table = columns(result)
    widths = [max(len(head), *map(len, cells)) for head, cells in table]
    lines = [_line([head for head, _ in table], widths)]
    lines += [_line([cells[place] for _, cells in table], widths) for place in range(len(result.rows))]
    threads = f"{result.threads} thread{'s' * (result.threads != 1)}"
    return "\n".join(
        [f"{result.data}; {threads}", "", *lines, "", *_thresholds(result), *(f"note: {note}" for note in result.notes)]
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first and the last column are words."""
    last = len(cells) - 1
    return "  ".join(
        cell.ljust(width) if place in (0, last) else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _thresholds(result: Result) -> list[str]:
    """At which score a detector is best, and what it does at the one that it has."""
    lines = []
    for row in result.rows:
        if not isinstance(row.figures, DetectionFigures):
            continue
        best = row.figures.best
        told = f"best F1 {number(best.f1)} above {number(best.score)}" if best else "finds nothing true"
        now = row.figures.at_score
        lines.append(
            f"{result.name(row)}: {told}; above {number(row.score)}: precision {number(now.precision)}, recall "
            f"{number(now.recall)} (IoU 0.5)"
        )
    return [*lines, ""] if lines else []
