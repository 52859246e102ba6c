"""A whole scene drawn on a copy of a picture: zones, lines, tails, boxes, counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.frame import Image
from edgemass.imaging.draw import class_colour, detection_colour, draw_boxes, pen_width
from edgemass.imaging.layout import Layout
from edgemass.imaging.lettering import BLACK, Colour, Sprite, blend, line_height, paste, rounded, tag
from edgemass.messages import Detection

Point = tuple[float, float]
"""x, y as fractions of the frame."""
_Pixels = NDArray[np.float64]
"""(n, 2): x, y in pixels."""

_ZONES: tuple[Colour, ...] = ((200, 170, 60), (90, 180, 90), (190, 110, 170), (70, 150, 220), (170, 170, 90))
_QUIET, _ACTIVE = 0.10, 0.26  # how much of a zone's colour is seen
_LINE: Colour = (255, 255, 255)
_PANEL: Colour = (32, 28, 24)
_PANEL_OPACITY = 0.72
_BANNER: Colour = (40, 40, 190)
_NO_CLASS: Colour = (190, 190, 190)
_SUBPIXELS = 4  # bits of a fraction that OpenCV draws to
_OLDEST, _NEWEST = 25, 220  # alpha of a tail's ends


@dataclass(frozen=True, kw_only=True)
class Area:
    """A zone. points: its corners. count: who is in it, None where that is not known. active: somebody is."""

    name: str
    points: tuple[Point, ...]
    count: int | None = None
    active: bool = False


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """A line. points: two or more. in_, out: crossings so far.

    flip: "in" is to the left of somebody who walks from the first point to the last, instead of to the right.
    """

    name: str
    points: tuple[Point, ...]
    in_: int = 0
    out: int = 0
    flip: bool = False


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """What is drawn beside the boxes.

    tails: by track, its last places, oldest first. banner: what is wrong with the picture, "" for nothing.
    counts: by label, how many there are; None where that is not known. unseen: of these without a box, being lost or
    hidden for a moment.
    """

    zones: tuple[Area, ...] = ()
    lines: tuple[Crossing, ...] = ()
    tails: Mapping[int, Sequence[Point]] = field(default_factory=dict)
    banner: str = ""
    counts: Mapping[str, int | None] = field(default_factory=dict)
    unseen: Mapping[str, int] = field(default_factory=dict)


def draw_scene(image: Image, detections: Sequence[Detection], overlay: Overlay) -> Image:
    """A copy of the frame with all of it, from the ground up: zones, tails, lines, boxes, tags, counts, banner."""
    drawn: Image = image.copy()
    height, width = image.shape[:2]
    layout = Layout(width, height)
    classes = {detection.label: class_colour(detection.class_id) for detection in detections}
    pasted = _place_panel(_counted(overlay), classes, layout, width, height)
    pasted += _place_banner(overlay.banner, layout, width, height)
    for index, zone in enumerate(overlay.zones):
        _draw_zone(drawn, zone, _ZONES[index % len(_ZONES)])
    colours = {found.track_id: detection_colour(found) for found in detections if found.track_id is not None}
    for track_id, places in overlay.tails.items():
        if track_id in colours:
            _draw_tail(drawn, _pixels(places, width, height), colours[track_id])
    for crossing in overlay.lines:
        _draw_line(drawn, crossing)
        pasted += _place_counts(crossing, layout, width, height)
    pasted += _place_zone_names(overlay.zones, layout, width, height)
    draw_boxes(drawn, detections, layout)
    for sprite, left, top in pasted:
        paste(drawn, sprite, left, top)
    return drawn


_Placed = list[tuple[Sprite, int, int]]


def _pixels(points: Iterable[Point], width: int, height: int) -> _Pixels:
    return np.array(list(points), np.float64).reshape(-1, 2) * (width - 1, height - 1)


def _fixed(points: _Pixels) -> NDArray[np.int32]:
    """As OpenCV takes fractions of a pixel, with shift=_SUBPIXELS."""
    return np.asarray((points * (1 << _SUBPIXELS)).round(), np.int32)


# Zones


def _draw_zone(image: Image, zone: Area, colour: Colour) -> None:
    """Translucent, with a crisp rim; stronger while somebody is in it."""
    height, width = image.shape[:2]
    corners = _pixels(zone.points, width, height)
    x1, y1 = np.floor(corners.min(axis=0)).astype(int).clip(0)
    x2, y2 = np.ceil(corners.max(axis=0)).astype(int) + 1
    part = image[y1:y2, x1:x2]
    filled = part.copy()
    cv2.fillPoly(filled, [_fixed(corners - (x1, y1))], colour, cv2.LINE_AA, _SUBPIXELS)
    seen = _ACTIVE if zone.active else _QUIET
    cv2.addWeighted(filled, seen, part, 1 - seen, 0, dst=part)
    pen = max(1, pen_width(width, height) - (0 if zone.active else 1))
    cv2.polylines(image, [_fixed(corners)], True, BLACK, pen + 1, cv2.LINE_AA, _SUBPIXELS)  # noqa: FBT003 (OpenCV's)
    cv2.polylines(image, [_fixed(corners)], True, colour, pen, cv2.LINE_AA, _SUBPIXELS)  # noqa: FBT003


def _place_zone_names(zones: Sequence[Area], layout: Layout, width: int, height: int) -> _Placed:
    placed: _Placed = []
    line = line_height(width, height)
    for index, zone in enumerate(zones):
        count = "" if zone.count is None else f" {zone.count}"
        sprite = tag(f"{zone.name}{count}", line, _ZONES[index % len(_ZONES)], 0.9 if zone.active else 0.7)
        corners = _pixels(zone.points, width, height)
        by_height = corners[np.lexsort((corners[:, 0], corners[:, 1]))]
        wanted = [(round(x), round(y)) for x, y in by_height.tolist()]
        placed.append((sprite, *layout.place(sprite.width, sprite.height, wanted)))
    return placed


# Tails


def _draw_tail(image: Image, places: _Pixels, colour: Colour) -> None:
    """Fades and thins out towards its beginning."""
    height, width = image.shape[:2]
    if len(places) < 2:
        return
    pen = pen_width(width, height)
    x1, y1 = (np.floor(places.min(axis=0)).astype(int) - pen - 2).clip(0)
    x2, y2 = np.ceil(places.max(axis=0)).astype(int) + pen + 3
    part = image[y1:y2, x1:x2]
    alpha = np.zeros(part.shape[:2], np.uint8)
    points = [tuple(point) for point in _fixed(places - (x1, y1)).tolist()]
    last = len(points) - 1
    for number, (start, end) in enumerate(pairwise(points)):
        share = (number + 1) / last
        value = round(_OLDEST + (_NEWEST - _OLDEST) * share)
        thick = max(1, round((pen + 1) * share))
        cv2.line(alpha, start, end, value, thick, cv2.LINE_AA, _SUBPIXELS)
    seen = alpha > 0
    part[seen] = blend(part[seen], colour, alpha[seen])


# Lines


def _draw_line(image: Image, crossing: Crossing) -> None:
    """With an arrow in its middle for "in", and a dot at each end."""
    height, width = image.shape[:2]
    pen = pen_width(width, height)
    points = _pixels(crossing.points, width, height)
    middle, ahead = _middle(points)
    inward = np.array([-ahead[1], ahead[0]]) * (-1 if crossing.flip else 1)
    length = 2.0 * line_height(width, height)
    tip = middle + inward * length
    barb = 0.4 * length
    barbs = [tip - inward * barb + side * ahead * barb for side in (-0.7, 0.7)]
    for colour, more in ((BLACK, 2), (_LINE, 0)):
        thick = pen + more
        cv2.polylines(image, [_fixed(points)], False, colour, thick, cv2.LINE_AA, _SUBPIXELS)  # noqa: FBT003
        cv2.polylines(image, [_fixed(np.array([middle, tip]))], False, colour, thick, cv2.LINE_AA, _SUBPIXELS)  # noqa: FBT003
        head = np.array([barbs[0], tip, barbs[1]])
        cv2.polylines(image, [_fixed(head)], False, colour, thick, cv2.LINE_AA, _SUBPIXELS)  # noqa: FBT003
        for x, y in points[[0, -1]].round().astype(int).tolist():
            cv2.circle(image, (x, y), pen + 1 + more, colour, cv2.FILLED, cv2.LINE_AA)


def _middle(points: _Pixels) -> tuple[_Pixels, _Pixels]:
    """The point half way along a line, and the direction in which it goes on there, of length 1."""
    steps = points[1:] - points[:-1]
    lengths = np.maximum(np.hypot(steps[:, 0], steps[:, 1]), 1e-9)
    half = lengths.sum() / 2
    part = min(int(np.searchsorted(lengths.cumsum(), half)), len(lengths) - 1)
    along = half - lengths[:part].sum()
    ahead = steps[part] / lengths[part]
    return points[part] + ahead * along, ahead


def _place_counts(crossing: Crossing, layout: Layout, width: int, height: int) -> _Placed:
    """Name and "in" at the first point, "out" at the last."""
    line = line_height(width, height)
    points = _pixels(crossing.points, width, height)
    placed: _Placed = []
    for text, (x, y) in ((f"{crossing.name} in {crossing.in_}", points[0]), (f"out {crossing.out}", points[-1])):
        sprite = tag(text, line, _PANEL, 0.85)
        w, h, gap = sprite.width, sprite.height, line // 2
        left, top = round(x), round(y)
        corners = [
            (left + gap, top - h // 2),
            (left - gap - w, top - h // 2),
            (left - w // 2, top + gap),
            (left - w // 2, top - gap - h),
        ]
        placed.append((sprite, *layout.place(w, h, corners)))
    return placed


# Counts and banner


def _counted(overlay: Overlay) -> dict[str, str]:
    """By label, in words."""
    told = {label: f"{'?' if count is None else count} {label}" for label, count in overlay.counts.items()}
    return {
        label: f"{text}, {n} out of sight" if (n := overlay.unseen.get(label, 0)) else text
        for label, text in told.items()
    }


def _place_panel(
    counted: Mapping[str, str], classes: Mapping[str, Colour], layout: Layout, width: int, height: int
) -> _Placed:
    """In the upper left corner: a line for each label, with a dot of its class's colour."""
    if not counted:
        return []
    line = line_height(width, height)
    gap = max(2, line // 3)
    most = max(1, (height // 2 - 2 * gap) // line)
    rows = list(counted.items())[:most]
    texts = [tag(text, line, _PANEL, 0.0) for _, text in rows]
    wide = max(text.width for text in texts) + line + 2 * gap
    high = sum(text.height for text in texts) + 2 * gap
    ground = np.empty((high, wide, 3), np.uint8)
    ground[:] = _PANEL
    alpha = rounded(wide, high, round(_PANEL_OPACITY * 255), radius=gap).copy()
    top = gap
    for (label, _), text in zip(rows, texts, strict=True):
        paste(ground, text, gap + line, top)
        area = alpha[top : top + text.height, gap + line : gap + line + text.width]
        np.maximum(area, text.alpha, out=area)
        dot = (gap + line // 2, top + text.height // 2)
        radius = max(2, line // 5)
        cv2.circle(ground, dot, radius, classes.get(label, _NO_CLASS), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(alpha, dot, radius, 255, cv2.FILLED, cv2.LINE_AA)
        top += text.height
    left, top = layout.place(wide, high, [(gap, gap)])
    return [(Sprite(ground, alpha), left, top)]


def _place_banner(banner: str, layout: Layout, width: int, height: int) -> _Placed:
    """At the lower border, in the middle."""
    if not banner:
        return []
    line = line_height(width, height)
    sprite = tag(banner, round(1.4 * line), _BANNER, 0.9)
    corner = ((width - sprite.width) // 2, height - sprite.height - line)
    return [(sprite, *layout.place(sprite.width, sprite.height, [corner]))]
