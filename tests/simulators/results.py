"""Results of an evaluation with figures that a test can tell apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgemass_tools.evaluating.class_scores import summarize
from edgemass_tools.evaluating.classifying import Answers, _figures
from edgemass_tools.evaluating.detecting import jpeg
from edgemass_tools.evaluating.matches import Point
from edgemass_tools.evaluating.result import DetectedClass, DetectionFigures, Example, Result, Row, Shape, Size
from edgemass_tools.speed import Latency


def detected(variant: str, map_50_95: float, *, loss: float | None, held: bool, frame_ms: float = 5.0) -> Row:
    """A detector of ants and bees, whose names have to be escaped in markup."""
    point = Point(0.345, 0.8, 0.6, 0.686)
    per_class = {
        "ant": DetectedClass(map_50_95, 0.61, 7, point, point),
        "bee <&>": DetectedClass(map_50_95, 0.59, 5, None, Point(0.4, None, 0.0, 0.0)),
    }
    figures = DetectionFigures(
        map_50_95=map_50_95,
        map_50=0.6,
        map_75=0.4,
        ar_1=0.2,
        ar_10=0.3,
        ar_100=0.35,
        sizes={"small": Size(0.111, 0.222, 4), "medium": Size(None, None, 0), "large": Size(0.777, 0.888, 8)},
        best=point,
        at_score=point,
        per_class=per_class,
        images=10,
        boxes=12,
        unknown_categories=(),
    )
    picture = np.full((60, 80, 3), 90, np.uint8)
    shapes = (
        Shape("found", "ant", (5, 5, 20, 20), 0.9),
        Shape("missed", "bee <&>", (30, 5, 20, 20)),
        Shape("false", "ant", (30, 6, 20, 20), 0.5),
    )
    return Row(
        model="insects",
        variant=variant,
        backend="onnxruntime/cpu",
        precision="int8" if held else "fp32",
        size_bytes=1_234_567,
        score=0.4,
        latency=Latency(frame_ms, frame_ms / 2),
        figures=figures,
        loss=loss,
        held=held,
        labels=("ant", "bee <&>"),
        curve=np.linspace(1, 0, 101),
        curves={label: np.linspace(1, 0, 101) for label in per_class},
        examples=(Example(jpeg(picture), 80, 60, "1.png: 1 found, 1 missed, 1 false", shapes),) if held else (),
    )


def classified(variant: str, *, held: bool, classes: int = 3) -> Row:
    """A classifier that is right two times of three."""
    scores = np.eye(classes, dtype=np.float32)[[0, 1, 0]]
    wanted = [frozenset({place}) for place in (0, 1, 2)]
    labels = tuple(f"class <{place}>" for place in range(classes))
    answers = Answers(scores, [[0], [1], [0]])
    figures, _ = _figures(answers, wanted, labels)
    row = detected(variant, 0.0, loss=None, held=held)
    summary = summarize(np.array([0, 1, 2]), np.array([0, 1, 0]), scores)
    return replace(row, figures=figures, labels=labels, curve=None, curves={}, summary=summary)


def result(*rows: Row, misses: tuple[str, ...] = (), bounds: tuple[str, ...] = ()) -> Result:
    task = "detection" if isinstance(rows[0].figures, DetectionFigures) else "classification"
    return Result(task, rows, "10 pictures of insects", 1, ("a note & more",), bounds, misses)
