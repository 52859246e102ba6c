"""Drawings in SVG, in the colours of the page: curves, and boxes on a picture. Values in, markup out."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import numpy as np

from edgemass.tensors import AnyArray
from edgemass_tools.evaluating.result import Example, Shape

_WIDTH, _HEIGHT = 360, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 26, 38
_SMALLEST = 160  # pixels that a picture has in the page at least
_EM = 13  # pixels of a word on a picture, as style.css has it
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def colour(place: int) -> str:
    """Of one variant, the same in every drawing; the page declares eight."""
    return f"var(--s{place % 8})"


def precision_over_recall(title: str, curves: Sequence[tuple[str, int, AnyArray]]) -> str:
    """Curves of (name, place of its colour, precision at recall 0 to 1 in equal steps)."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(share: float) -> float:
        return _LEFT + share * width

    def y(share: float) -> float:
        return _TOP + (1 - share) * height

    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="{_LEFT}" y="16">{escape(title)}</text>',
    ]
    for tick in _TICKS:
        parts += [
            f'<path class="grid" d="M{x(0):.1f} {y(tick):.1f}H{x(1):.1f}M{x(tick):.1f} {y(0):.1f}V{y(1):.1f}"/>',
            f'<text class="tick" text-anchor="end" x="{x(0) - 6:.1f}" y="{y(tick) + 4:.1f}">{tick:g}</text>',
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y(0) + 15:.1f}">{tick:g}</text>',
        ]
    for drawn, (name, place, precision) in enumerate(curves):
        recall = np.linspace(0, 1, len(precision))
        wide = 2 + 1.5 * (len(curves) - 1 - drawn)  # so that a curve still shows below another that is the same
        points = " ".join(f"{x(r):.1f},{y(p):.1f}" for r, p in zip(recall, np.maximum(precision, 0), strict=True))
        parts.append(
            f'<polyline class="curve" style="stroke:{colour(place)};stroke-width:{wide}" points="{points}">'
            f"<title>{escape(name)}</title></polyline>"
        )
    parts += [
        f'<text class="tick" text-anchor="middle" x="{x(0.5):.1f}" y="{_HEIGHT - 6}">recall</text>',
        f'<text class="tick" text-anchor="middle" transform="translate(11 {y(0.5):.1f}) rotate(-90)">precision</text>',
        "</svg>",
    ]
    return "".join(parts)


def picture(example: Example) -> str:
    """A picture with its boxes: what was found, missed and false is told by colour and by dashes."""
    data = base64.b64encode(example.jpeg).decode()
    order = {"found": 0, "false": 1, "missed": 2}
    shapes = sorted(example.shapes, key=lambda shape: order[shape.kind])
    return (
        f'<svg style="max-width:{max(example.width, _SMALLEST)}px" viewBox="0 0 {example.width} {example.height}" '
        f'role="img" aria-label="{escape(example.caption)}">'
        f'<image width="{example.width}" height="{example.height}" href="data:image/jpeg;base64,{data}"/>'
        + "".join(_box(shape) for shape in shapes)
        + _words(example)
        + "</svg>"
    )


def _box(shape: Shape) -> str:
    left, top, width, height = shape.box
    place = f'x="{left:.1f}" y="{top:.1f}" width="{max(width, 1):.1f}" height="{max(height, 1):.1f}"'
    return (
        f'<rect class="rim" {place}/><rect class="{shape.kind}" {place}><title>{escape(_text(shape))}, {shape.kind}'
        "</title></rect>"
    )


def _words(example: Example) -> str:
    """Labels of what was missed or false, largest first; one that would cover another is left out (each box has it as
    its title). They stay inside the picture; a letter of Helvetica is about 0.6 em wide.
    """
    taken: list[tuple[float, float, float]] = []
    words = []
    wrong = [shape for shape in example.shapes if shape.kind != "found"]
    for shape in sorted(wrong, key=lambda shape: -shape.box[2] * shape.box[3]):
        text = _text(shape)
        width = 0.6 * _EM * len(text)
        left = max(2.0, min(shape.box[0] + 3, example.width - width))
        top = max(float(_EM), min(shape.box[1] - 3, example.height - 4))
        if any(abs(top - y) < _EM and left < x + w and x < left + width for x, y, w in taken):
            continue
        taken.append((left, top, width))
        words.append(f'<text class="word {shape.kind}" x="{left:.1f}" y="{top:.1f}">{escape(text)}</text>')
    return "".join(words)


def _text(shape: Shape) -> str:
    return shape.label if shape.score is None else f"{shape.label} {shape.score:.2f}"
