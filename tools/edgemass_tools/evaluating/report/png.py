"""The report as one picture, drawn with matplotlib: the table, curves, sizes or classes, and what went wrong."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np

from edgemass.errors import ConfigError
from edgemass_tools.evaluating import class_scores
from edgemass_tools.evaluating.classifying import unlike
from edgemass_tools.evaluating.result import DetectionFigures, Example, Result, Row, columns

_COLOURS = ("#2b6cb0", "#d9730d", "#17825a", "#b83280", "#6b46c1", "#a17400", "#0e8a99", "#6b7280")
_SHAPES = {"found": ("white", "-"), "false": ("#ff4fa3", "-"), "missed": ("#ffb020", "--")}
_QUIET, _GOOD, _BAD = "#5d6873", "#1a7f4b", "#c0392b"
_WIDTH = 12.0  # inches, at 100 pixels each
_STRIP = 3  # pictures in a row
_MATRIX_CLASSES = 20


def new_figure(width: float, height: float) -> Any:
    """An empty one, in inches, that is drawn into memory.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 (an extra, and slow)
        from matplotlib.figure import Figure  # noqa: PLC0415 (as above)
    except ImportError as error:
        raise ConfigError(
            "a PNG report needs matplotlib: pip install 'edgemass-tools[report]'; or give --report FILE.html"
        ) from error
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw(result: Result) -> bytes:
    """PNG."""
    examples = next((row.examples for row in result.rows if row.examples), ())
    strip_rows = -(-len(examples) // _STRIP)
    heights = [0.9 + 0.3 * len(result.rows) + 0.25 * len(result.misses), 4.2, *[3.0] * strip_rows]
    figure = new_figure(_WIDTH, sum(heights) + 0.9)
    title = " and ".join(dict.fromkeys(row.model for row in result.rows))
    threads = f"{result.threads} thread{'s' * (result.threads != 1)}"
    figure.suptitle(_plain(f"{title}\n{result.data}; {threads}"), fontsize=13, x=0.01, ha="left")
    grid = figure.add_gridspec(len(heights), 6, height_ratios=heights)
    _table(figure.add_subplot(grid[0, :]), result)
    left, right = figure.add_subplot(grid[1, :3]), figure.add_subplot(grid[1, 3:])
    if result.task == "detection":
        _curves(left, result)
        _sizes(right, result)
    else:
        _bars(left, result)
        _matrix(right, result)
    for place, example in enumerate(examples):
        line, column = divmod(place, _STRIP)
        _example(figure.add_subplot(grid[2 + line, 2 * column : 2 * column + 2]), example)
    if any(example.shapes for example in examples):
        figure.supxlabel("boxes: white found, orange dashed missed, pink false", fontsize=9, color=_QUIET)
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def _plain(text: str) -> str:
    """Without what matplotlib takes for mathematics."""
    return text.replace("$", r"\$")


def _table(axes: Any, result: Result) -> None:
    axes.axis("off")
    table = columns(result)[:-1]  # what runs it is no figure, and wide
    cells = [[_plain(column[place]) for _, column in table] for place in range(len(result.rows))]
    drawn = axes.table(cells, colLabels=[head for head, _ in table], loc="upper center", edges="horizontal")
    drawn.auto_set_font_size(False)  # noqa: FBT003 (matplotlib's own signature)
    drawn.set_fontsize(8.5)
    drawn.auto_set_column_width(list(range(len(table))))
    for (line, place), cell in drawn.get_celld().items():
        cell.set_edgecolor("#dde2e7")
        if line == 0:
            cell.set_text_props(color=_QUIET)
        if place == 0:
            cell.set_text_props(ha="left")
        if place == 0 and line:
            cell.set_text_props(color=_COLOURS[(line - 1) % len(_COLOURS)], weight="bold")
    if result.bounds:
        told = [f"Gate {'missed' if result.misses else 'passed'}: {', '.join(result.bounds)}", *result.misses]
        axes.text(
            0, 0, _plain("\n".join(told)), transform=axes.transAxes, va="bottom", fontsize=9,
            color=_BAD if result.misses else _GOOD,
        )  # fmt: skip


def _curves(axes: Any, result: Result) -> None:
    for place, row in enumerate(result.rows):
        if row.curve is not None:
            shown = np.maximum(row.curve, 0)
            axes.plot(np.linspace(0, 1, len(shown)), shown, color=_COLOURS[place % len(_COLOURS)])
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title("precision and recall at IoU 0.5, mean of classes", fontsize=10)
    axes.grid(color="#dde2e7")


def _sizes(axes: Any, result: Result) -> None:
    rows = [row.figures for row in result.rows if isinstance(row.figures, DetectionFigures)]
    names = list(rows[0].sizes)
    width = 0.8 / len(rows)
    for place, figures in enumerate(rows):
        at = np.arange(len(names)) + (place - (len(rows) - 1) / 2) * width
        values = [figures.sizes[name].ap or 0.0 for name in names]
        drawn = axes.bar(at, values, width * 0.92, color=_COLOURS[place % len(_COLOURS)])
        if len(rows) <= 4:
            axes.bar_label(drawn, fmt="%.3f", fontsize=8)
    axes.set_xticks(range(len(names)), [f"{name}\n{rows[0].sizes[name].boxes} boxes" for name in names])
    axes.set_title("AP 50-95 by size of the box", fontsize=10)
    axes.margins(y=0.12)


def _bars(axes: Any, result: Result) -> None:
    """A classifier's main figures."""
    table = dict(columns(result))
    names = ["top-1", "top-5", "macro F1", "AUC"]
    width = 0.8 / len(result.rows)
    for place in range(len(result.rows)):
        at = np.arange(len(names)) + (place - (len(result.rows) - 1) / 2) * width
        values = [0.0 if table[name][place] == "-" else float(table[name][place]) for name in names]
        axes.bar(at, values, width * 0.92, color=_COLOURS[place % len(_COLOURS)])
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, 1.02)
    axes.set_title("accuracy", fontsize=10)


def _matrix(axes: Any, result: Result) -> None:
    row: Row = next((row for row in result.rows if row.held), result.rows[0])
    assert row.summary is not None
    seen = {true for true, _, _ in row.summary.confusion} | {answer for _, answer, _ in row.summary.confusion}
    classes = sorted(seen - {-1})
    axes.set_title(_plain(f"true class (rows) and answer (columns): {result.name(row)}"), fontsize=10)
    if len(classes) > _MATRIX_CLASSES:
        axes.axis("off")
        axes.text(0.5, 0.5, f"{len(classes)} classes: see the HTML report", ha="center", color=_QUIET)
        return
    names = [_plain(unlike(row.labels)[item]) for item in classes]
    counts = class_scores.matrix(row.summary.confusion, classes)[:, :-1]
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for (line, column), count in np.ndenumerate(counts):
        if count:
            dark = count > counts[line].sum() / 2
            axes.text(column, line, str(count), ha="center", va="center", fontsize=7, color="w" if dark else "k")


def _example(axes: Any, example: Example) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 (an extra)

    picture = cv2.imdecode(np.frombuffer(example.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    axes.imshow(picture[:, :, ::-1])
    axes.axis("off")
    for shape in example.shapes:
        colour, line = _SHAPES[shape.kind]
        left, top, width, height = shape.box
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor="black", linewidth=2.5, alpha=0.5))
        axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=colour, linestyle=line))
    axes.set_title(_plain(example.caption), fontsize=8, color=_QUIET)
