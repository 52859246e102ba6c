"""Detections and classes drawn on a copy of a picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from edgemass.frame import Image
from edgemass.messages import ClassificationMessage, ClassScore, Detection, FrameMessage

Colour = tuple[int, int, int]
"""Blue, green, red."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK: Colour = (0, 0, 0)
_WHITE: Colour = (255, 255, 255)
_GOLDEN = 0.618034  # steps of the golden ratio spread any number of hues evenly
_UNPRINTABLE = "?"  # OpenCV's Hershey fonts have ASCII only


def annotate(image: Image, message: FrameMessage) -> Image:
    """A copy of the frame with what the document says of it."""
    if isinstance(message, ClassificationMessage):
        return draw_classes(image, message.classes)
    return draw_detections(image, message.detections)


def draw_detections(image: Image, detections: Sequence[Detection]) -> Image:
    """Boxes with label, score and track; surest on top. Readable on light and dark: every line has a dark rim, every
    text a ground of its own. Thickness and text grow with the frame.
    """
    drawn: Image = image.copy()
    height, width = image.shape[:2]
    pen = _thickness(width, height)
    size = np.array([width - 1, height - 1] * 2)
    for detection in sorted(detections, key=lambda detection: detection.score):
        left, top, right, bottom = (np.array(detection.box) * size).round().astype(int).tolist()
        colour = class_colour(detection.class_id)
        cv2.rectangle(drawn, (left, top), (right, bottom), _BLACK, pen + 2, cv2.LINE_AA)
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, pen, cv2.LINE_AA)
        track = "" if detection.track_id is None else f" #{detection.track_id}"
        _tag(drawn, f"{detection.label}{track} {detection.score:.2f}", (left, top), colour)
    return drawn


def draw_classes(image: Image, classes: Sequence[ClassScore]) -> Image:
    """A caption in the upper left corner, one line for each class, best first."""
    drawn: Image = image.copy()
    top = 0
    for found in classes:
        top = _tag(drawn, f"{found.score:.2f} {found.label}", (0, top), class_colour(found.class_id), above=False)
    return drawn


def class_colour(class_id: int) -> Colour:
    """The same for a class everywhere, and far from its neighbours'."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN % 1.0, 0.75, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def _thickness(width: int, height: int) -> int:
    """2 px at 640 x 480."""
    return max(1, round((width + height) / 560))


def _tag(image: Image, text: str, corner: tuple[int, int], colour: Colour, *, above: bool = True) -> int:
    """Text on a ground of its colour, kept inside the picture; returns the y below it.

    corner: left, bottom where it fits above that point, else left, top.
    """
    text = "".join(mark if " " <= mark <= "~" else _UNPRINTABLE for mark in text)
    height, width = int(image.shape[0]), int(image.shape[1])
    scale = max(0.35, (width + height) / 2400)
    pen = max(1, round(scale * 1.6))
    (text_width, text_height), base = cv2.getTextSize(text, _FONT, scale, pen)
    margin = max(2, base // 2)
    box_width, box_height = int(text_width) + 2 * margin, int(text_height) + int(base) + margin
    left = max(0, min(corner[0], width - box_width))
    top = corner[1] - box_height if above and corner[1] >= box_height else corner[1]
    top = max(0, min(top, height - box_height))
    cv2.rectangle(image, (left, top), (left + box_width, top + box_height), colour, cv2.FILLED)
    place = (left + margin, top + margin + text_height)
    cv2.putText(image, text, place, _FONT, scale, _ink(colour), pen, cv2.LINE_AA)
    return top + box_height


def _ink(ground: Colour) -> Colour:
    """Black or white, whichever stands out; weights of luma in ITU-R BT.601."""
    blue, green, red = ground
    return _BLACK if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else _WHITE
