"""Draws the results of build/bench/*.json as bar charts for the documentation: plain SVG, nothing to install.

    python tests/benchmarks/plot.py [--results build/bench] [--docs docs]

Charts whose results are not there are left as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from tests.benchmarks._harness import REPOSITORY, RESULTS

WIDTH, LABEL, VALUE, BAR, GAP = 760, 250, 90, 18, 8
OURS, OTHERS, TEXT, GRID = "#1f6feb", "#9aa4b2", "#1b1f24", "#d0d7de"
ROOM = WIDTH - LABEL - VALUE


@dataclass(frozen=True)
class Bar:
    """low, high: the range behind the value, drawn as a thin line; None without one."""

    label: str
    value: float
    ours: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Chart:
    """groups: heading and bars. reference: a value that gets a line of its own."""

    title: str
    unit: str
    groups: Sequence[tuple[str, Sequence[Bar]]]
    reference: float | None = None


def draw(chart: Chart, source: str) -> str:
    """The chart as an SVG document; source: a line about where the figures are from."""
    values = [bar.value for _, bars in chart.groups for bar in bars]
    ranges = [bar.high for _, bars in chart.groups for bar in bars if bar.high is not None]
    scale = ROOM / (max([*values, *ranges, chart.reference or 0]) * 1.02)
    parts: list[str] = [_text(12, 24, chart.title, size=16, weight="bold")]
    y = 42
    top = y
    for heading, bars in chart.groups:
        parts.append(_text(12, y + 13, heading, weight="bold"))
        y += BAR + 4
        for bar in bars:
            parts += _bar(bar, y, scale, chart.unit)
            y += BAR + GAP
        y += GAP
    if chart.reference is not None:
        x = LABEL + chart.reference * scale
        parts.append(f'<path d="M{x:.1f} {top}V{y - GAP}" stroke="{TEXT}" stroke-dasharray="4 3"/>')
    parts.append(_text(12, y + 12, source, size=11))
    height = y + 24
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'font-family="Helvetica, Arial, sans-serif" font-size="13" fill="{TEXT}">\n'
        f"<title>{escape(chart.title)}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(bar: Bar, y: float, scale: float, unit: str) -> list[str]:
    length = max(1.0, bar.value * scale)
    parts = [
        _text(LABEL - 8, y + 13, bar.label, anchor="end"),
        f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{OURS if bar.ours else OTHERS}"/>',
    ]
    end = length
    if bar.low is not None and bar.high is not None:
        middle = y + BAR / 2
        parts.append(
            f'<path d="M{LABEL + bar.low * scale:.1f} {middle}H{LABEL + bar.high * scale:.1f}" stroke="{TEXT}"/>'
        )
        end = max(end, bar.high * scale)
    parts.append(_text(LABEL + end + 6, y + 13, f"{bar.value:.3g} {unit}".strip()))
    return parts


def _text(x: float, y: float, words: str, *, size: int = 13, weight: str = "normal", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )


def line_chart(result: dict[str, Any]) -> Chart:
    bars = [
        Bar(str(row["model"]), row["ratio_median"], True, row["ratio_min"], row["ratio_max"]) for row in result["rows"]
    ]
    heading = (
        "H.264 file, two cores, one thread" if "--video" in result["arguments"] else "pictures in memory, one core"
    )
    return Chart("Frame to MQTT: frames a second over the bare runtime's", "x", [(heading, bars)], reference=1.0)


def peers_chart(result: dict[str, Any]) -> Chart:
    groups: dict[str, list[Bar]] = {}
    for row in result["rows"]:
        heading = f"{row['model']}, {'pictures in memory' if row['kind'] == 'array' else 'H.264 file'}"
        bar = Bar(str(row["contender"]), row["fps_median"], row["contender"] == "edgemass")
        groups.setdefault(heading, []).append(bar)
    return Chart("Frames a second, same file and threads", "fps", list(groups.items()))


def start_chart(result: dict[str, Any]) -> Chart:
    return _starts(result, "first_detection_s", "Fresh process to its first detection", "s")


def memory_chart(result: dict[str, Any]) -> Chart:
    return _starts(result, "rss_mb", "Peak memory of a fresh process", "MB")


def _starts(result: dict[str, Any], key: str, title: str, unit: str) -> Chart:
    groups: dict[str, list[Bar]] = {}
    for row in result["more_rows"]:
        bar = Bar(str(row["contender"]), row[key], row["contender"] == "edgemass")
        groups.setdefault(str(row["model"]), []).append(bar)
    return Chart(title, unit, list(groups.items()))


def decode_chart(result: dict[str, Any]) -> Chart:
    groups = [
        (
            f"{row['case']}, {row['labels']} labels of a box",
            [Bar("edgemass", row["edgemass_ms"], True), Bar("ultralytics", row["ultralytics_ms"])],
        )
        for row in result["rows"]
        if row["labels"] == "best"
    ]
    return Chart("Decoding and NMS of one picture", "ms", groups)


CHARTS: dict[str, tuple[str, Callable[[dict[str, Any]], Chart]]] = {  # file -> result and drawing
    "bench-line.svg": ("line_vs_bare", line_chart),
    "bench-line-video.svg": ("line_vs_bare_video", line_chart),
    "bench-peers.svg": ("peers", peers_chart),
    "bench-start.svg": ("peers", start_chart),
    "bench-memory.svg": ("peers", memory_chart),
    "bench-decode.svg": ("decode_nms", decode_chart),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    options = parser.parse_args()
    options.docs.mkdir(parents=True, exist_ok=True)
    for file, (name, make) in CHARTS.items():
        path = options.results / f"{name}.json"
        if not path.is_file():
            print(f"{file}: skipped: no {path.name}")
            continue
        result = json.loads(path.read_text(encoding="utf-8"))
        chart = make(result)
        if not any(bars for _, bars in chart.groups):
            print(f"{file}: skipped: {path.name} holds no such rows")
            continue
        source = f"{result['machine']['cpu']}, {result['date']}, onnxruntime {result['versions'].get('onnxruntime')}"
        (options.docs / file).write_text(draw(chart, source), encoding="utf-8")
        print(f"{file}: drawn")
    return 0


if __name__ == "__main__":
    sys.exit(main())
