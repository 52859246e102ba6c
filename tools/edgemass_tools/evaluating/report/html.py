"""The report as one page, readable by light and by dark, on a desk and on a telephone; it loads nothing."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from edgemass import __version__
from edgemass_tools.evaluating import class_scores
from edgemass_tools.evaluating.classifying import unlike
from edgemass_tools.evaluating.report import svg
from edgemass_tools.evaluating.result import (
    ClassificationFigures,
    Column,
    DetectionFigures,
    Result,
    Row,
    columns,
    number,
)

CLASS_CURVES = 8
MATRIX_CLASSES = 20
CONFUSED_PAIRS = 15
_SIZES = {"small": "up to 32 x 32 pixels", "medium": "up to 96 x 96", "large": "above"}


def page(result: Result) -> str:
    """HTML that is XML too."""
    title = " and ".join(dict.fromkeys(row.model for row in result.rows))
    style = files("edgemass_tools.evaluating.report").joinpath("style.css").read_text(encoding="utf-8")
    sections = [_verdict(result), _overview(result), *_of_task(result), _examples(result), _notes(result)]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}: evaluation</title><style>\n{style}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{_subtitle(result)}{''.join(sections)}</main></body></html>\n"
    )


def _subtitle(result: Result) -> str:
    threads = f"{result.threads} thread{'s' * (result.threads != 1)}"
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (
        f'<p class="quiet">{escape(result.data)}; {threads} on {escape(platform.machine())}; edgemass {__version__}, '
        f"{when}</p>"
    )


def _verdict(result: Result) -> str:
    if not result.bounds:
        return ""
    asked = escape(", ".join(result.bounds))
    if not result.misses:
        held = escape(", ".join(result.name(row) for row in result.rows if row.held))
        return f'<p class="verdict passed"><b>Gate passed</b> by {held}: {asked}</p>'
    missed = "".join(f"<li>{escape(miss)}</li>" for miss in result.misses)
    return f'<div class="verdict failed"><b>Gate missed</b>: {asked}<ul>{missed}</ul></div>'


def _overview(result: Result) -> str:
    table = columns(result)
    heads = {"frame ms": "frame, ms", "run ms": "run, ms", "MB": "file, MB"}
    table = [(heads.get(head, head), cells) for head, cells in table]
    return (
        f"<section><h2>Side by side</h2>{_table(table, keys=True)}"
        '<p class="quiet">Medians, turn by turn: frame is preparation, run, decoding and NMS; run is the runtime alone.'
        " Loss is of the first figure against the reference.</p></section>"
    )


def _table(table: Sequence[Column], *, keys: bool = False, groups: Sequence[tuple[str, int]] = ()) -> str:
    """The first column names the rows; with keys each has the colour of its variant.

    groups: heads above the heads, each with the number of columns that it spans.
    """
    words = {"runs on", "true class", "answer"}

    def cell(tag: str, place: int, text: str) -> str:
        kind = ' class="text"' if place == 0 or table[place][0] in words else ""
        return f"<{tag}{kind}>{text}</{tag}>"

    heads = "".join(cell("th", place, escape(head)) for place, (head, _) in enumerate(table))
    spans = "".join(f'<th class="over" colspan="{span}">{escape(name)}</th>' for name, span in groups)
    above = f"<tr>{spans}</tr>" if groups else ""
    lines = []
    for index in range(len(table[0][1])):
        texts = [
            escape(cells[index]).replace("-", "\N{MINUS SIGN}", 1) if _negative(cells[index]) else escape(cells[index])
            for _, cells in table
        ]
        if keys:
            key = f'<span class="key" style="background:{svg.colour(index)}"></span>'
            texts[0] = f'<span class="named">{key}<span>{texts[0]}</span></span>'
        lines.append("<tr>" + "".join(cell("td", place, text) for place, text in enumerate(texts)) + "</tr>")
    return (
        f'<div class="wide"><table><thead>{above}<tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _negative(text: str) -> bool:
    return text.startswith("-") and text[1:2].isdigit()


def _of_task(result: Result) -> list[str]:
    detected = [(row, row.figures) for row in result.rows if isinstance(row.figures, DetectionFigures)]
    if detected:
        return [_curves(result), _sizes(result, detected), _thresholds(result, detected), _classes(result, detected)]
    classified = [(row, row.figures) for row in result.rows if isinstance(row.figures, ClassificationFigures)]
    return [_averages(result, classified), _confusion(result), _labels(result, classified)]


def _legend(result: Result) -> str:
    keys = "".join(
        f'<span><span class="key" style="background:{svg.colour(place)}"></span>{escape(result.name(row))}</span>'
        for place, row in enumerate(result.rows)
    )
    return f'<p class="legend">{keys}</p>'


def _curves(result: Result) -> str:
    mean = [(result.name(row), place, row.curve) for place, row in enumerate(result.rows) if row.curve is not None]
    charts = [svg.precision_over_recall("all classes, mean", mean)]
    first = result.rows[0].figures
    assert isinstance(first, DetectionFigures)
    if len(first.per_class) > 1:
        most = sorted(first.per_class, key=lambda label: -first.per_class[label].boxes)[:CLASS_CURVES]
        charts += [
            svg.precision_over_recall(
                f"{label} ({first.per_class[label].boxes})",
                [
                    (result.name(row), place, row.curves[label])
                    for place, row in enumerate(result.rows)
                    if label in row.curves
                ],
            )
            for label in most
        ]
    return (
        f'<section><h2>Precision and recall at IoU 0.5</h2>{_legend(result)}<div class="charts">{"".join(charts)}</div>'
        '<p class="quiet">The area under a curve is AP50. Of classes those with most boxes, whose number is in'
        " brackets.</p></section>"
    )


def _sizes(result: Result, detected: Sequence[tuple[Row, DetectionFigures]]) -> str:
    lines = []
    for size in detected[0][1].sizes:
        boxes = detected[0][1].sizes[size].boxes
        lines.append(f'<tr class="group"><th colspan="3" class="text">{size}: {_SIZES[size]}, {boxes} boxes</th></tr>')
        for place, (row, figures) in enumerate(detected):
            name = escape(result.name(row))
            found = figures.sizes[size]
            lines.append(
                f'<tr><td class="text">{name}</td><td>{_bar(found.ap, place)}</td><td>{_bar(found.ar, place)}</td></tr>'
            )
    return (
        '<section><h2>By size of the box</h2><div class="wide"><table><thead><tr><th class="text">variant</th>'
        f'<th class="text">AP 50-95</th><th class="text">AR, 100 finds a picture</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></section>"
    )


def _bar(value: float | None, place: int) -> str:
    if value is None:
        return "-"
    return (
        f'<span class="bar"><span class="track"><span style="width:{value:.1%};background:{svg.colour(place)}"></span>'
        f"</span>{number(value)}</span>"
    )


def _thresholds(result: Result, detected: Sequence[tuple[Row, DetectionFigures]]) -> str:
    best = [figures.best for _, figures in detected]
    now = [figures.at_score for _, figures in detected]
    table = [
        ("variant", [result.name(row) for row, _ in detected]),
        ("best score", [number(point.score if point else None) for point in best]),
        ("precision", [number(point.precision if point else None) for point in best]),
        ("recall", [number(point.recall if point else None) for point in best]),
        ("F1", [number(point.f1 if point else None) for point in best]),
        ("set score", [number(point.score) for point in now]),
        ("precision", [number(point.precision) for point in now]),
        ("recall", [number(point.recall) for point in now]),
        ("F1", [number(point.f1) for point in now]),
    ]
    return (
        f"<section><h2>Which score to report from</h2>{_table(table, keys=True)}"
        '<p class="quiet">All classes together, IoU 0.5. The best score gives the highest F1 on these pictures; the'
        " set one is the model's own, or that of --score.</p></section>"
    )


def _classes(result: Result, detected: Sequence[tuple[Row, DetectionFigures]]) -> str:
    counts: dict[str, int] = {}
    for _, figures in detected:
        for label, found in figures.per_class.items():
            counts.setdefault(label, found.boxes)
    labels = sorted(counts, key=lambda label: -counts[label])
    table: list[Column] = [("class", labels), ("boxes", [str(counts[label]) for label in labels])]
    groups = [("", 2)]
    for row, figures in detected:
        known = [figures.per_class.get(label) for label in labels]
        groups.append((result.name(row), 3))
        table.append(("mAP 50-95", [number(item.map_50_95 if item else None) for item in known]))
        table.append(("AP50", [number(item.map_50 if item else None) for item in known]))
        best = [item.best if item else None for item in known]
        table.append(("best score", [number(point.score if point else None) for point in best]))
    return f"<section><h2>By class</h2>{_folded(len(labels), _table(table, groups=groups))}</section>"


def _folded(lines: int, markup: str) -> str:
    return markup if lines <= 12 else f"<details><summary>{lines} classes</summary>{markup}</details>"


def _averages(result: Result, classified: Sequence[tuple[Row, ClassificationFigures]]) -> str:
    table: list[Column] = [("variant", [result.name(row) for row, _ in classified])]
    for kind in ("macro", "weighted"):
        for what in ("precision", "recall", "f1"):
            head = f"{kind} {'F1' if what == 'f1' else what}"
            table.append((head, [number(getattr(getattr(figures, kind), what)) for _, figures in classified]))
    table.append(("ROC AUC", [number(figures.auc) for _, figures in classified]))
    return (
        f"<section><h2>Averages over classes</h2>{_table(table, keys=True)}"
        '<p class="quiet">Macro: every class counts the same; weighted: by its pictures. AUC: one class against the '
        "rest, mean.</p></section>"
    )


def _confusion(result: Result) -> str:
    """Of the variant that bounds hold for, else of the reference: a matrix of few classes, pairs of many."""
    row = next((row for row in result.rows if row.held), result.rows[0])
    assert row.summary is not None
    names = unlike(row.labels)
    counts = row.summary.confusion
    classes = sorted({true for true, _, _ in counts} | {answer for _, answer, _ in counts if answer >= 0})
    if len(classes) <= MATRIX_CLASSES:
        body = _matrix([names[item] for item in classes], class_scores.matrix(counts, classes).tolist())
    else:
        pairs = sorted((item for item in counts if item[0] != item[1]), key=lambda item: -item[2])[:CONFUSED_PAIRS]
        body = _table(
            [
                ("true class", [names[true] for true, _, _ in pairs]),
                ("answer", ["none" if answer < 0 else names[answer] for _, answer, _ in pairs]),
                ("pictures", [str(count) for _, _, count in pairs]),
            ]
        )
    return f"<section><h2>What is taken for what: {escape(result.name(row))}</h2>{body}</section>"


def _matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows are true classes; shade is the share of the row. The column of other answers is there when it has any."""
    others = any(line[-1] for line in counts)
    heads = [*names, "none"] if others else list(names)
    top = "".join(f'<th class="turned"><span>{escape(name)}</span></th>' for name in heads)
    lines = []
    for place, (name, line) in enumerate(zip(names, counts, strict=True)):
        total = max(1, sum(line))
        cells = "".join(
            f'<td class="{"right" if column == place else "wrong"}" style="--share:{100 * count / total:.0f}%">'
            f"{count or ''}</td>"
            for column, count in enumerate(line[: len(heads)])
        )
        lines.append(f'<tr><th class="text">{escape(name)}</th>{cells}</tr>')
    return (
        '<p class="quiet">Rows: true class; columns: answer; pictures.</p><div class="wide"><table class="matrix">'
        f"<thead><tr><th></th>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _labels(result: Result, classified: Sequence[tuple[Row, ClassificationFigures]]) -> str:
    first = classified[0][1].per_class
    labels = sorted(first, key=lambda label: -first[label].images)
    table: list[Column] = [("class", labels), ("pictures", [str(first[label].images) for label in labels])]
    groups = [("", 2)]
    for row, figures in classified:
        groups.append((result.name(row), 4))
        known = [figures.per_class.get(label) for label in labels]
        table += [
            ("precision", [number(item.precision if item else None) for item in known]),
            ("recall", [number(item.recall if item else None) for item in known]),
            ("F1", [number(item.f1 if item else None) for item in known]),
            ("AUC", [number(item.auc if item else None) for item in known]),
        ]
    return f"<section><h2>By class</h2>{_folded(len(labels), _table(table, groups=groups))}</section>"


def _examples(result: Result) -> str:
    row = next((row for row in result.rows if row.examples), None)
    if row is None:
        return ""
    figures = "".join(
        f"<figure>{svg.picture(example)}<figcaption>{escape(example.caption)}</figcaption></figure>"
        for example in row.examples
    )
    told = "Wrong answers that it was surest of."
    if result.task == "detection":
        told = (
            f"Above a score of {row.score:g}, IoU 0.5: "
            '<span class="legend"><span><span class="swatch found"></span>found</span><span><span class="swatch missed"'
            '></span>missed</span><span><span class="swatch false"></span>false</span></span>'
        )
    name = escape(result.name(row))
    return (
        f'<section><h2>Where {name} went wrong</h2><p class="quiet">{told}</p><div class="strip">{figures}</div>'
        "</section>"
    )


def _notes(result: Result) -> str:
    if not result.notes:
        return ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return f"<section><h2>Notes</h2><ul>{notes}</ul></section>"
