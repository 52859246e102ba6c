"""Detections and classes drawn on a copy of a picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache

import cv2

from edgemass.frame import Image
from edgemass.imaging.layout import Box, Layout, beside
from edgemass.imaging.lettering import BLACK, Colour, Sprite, line_height, paste, scale, tag
from edgemass.messages import ClassificationMessage, ClassScore, Detection, FrameMessage

_WIDE = 0.3  # of the picture: a wider tag is shortened
_GOLDEN = 0.618034  # steps of the golden ratio spread any number of hues evenly
_FIRST_HUE = 0.5  # of class 0, which is mostly a person: a calm blue, and no alarm's red
_SHADES = ((0.0, 0.7, 1.0), (0.06, 0.55, 1.0), (-0.06, 0.6, 1.0), (0.03, 0.8, 0.85), (-0.03, 0.42, 1.0))
"""Of one class: hue beside its own, saturation, value."""


def annotate(image: Image, message: FrameMessage) -> Image:
    """A copy of the frame with what the document says of it."""
    if isinstance(message, ClassificationMessage):
        return draw_classes(image, message.classes)
    return draw_detections(image, message.detections)


def draw_detections(image: Image, detections: Sequence[Detection]) -> Image:
    """Boxes with label, track and score; surest on top. Readable on light and dark: every line has a dark rim, every
    text a ground of its own. Thickness and text grow with the frame.
    """
    drawn: Image = image.copy()
    draw_boxes(drawn, detections, Layout(image.shape[1], image.shape[0]))
    return drawn


def draw_boxes(image: Image, detections: Sequence[Detection], layout: Layout) -> None:
    """As `draw_detections`, in place. layout: tags keep clear of what is placed there."""
    height, width = image.shape[:2]
    line, pen = line_height(width, height), pen_width(width, height)
    surest = sorted(detections, key=lambda detection: -detection.score)
    tags = []
    for detection in surest:
        box, colour = to_pixels(detection.box, width, height), detection_colour(detection)
        sprite = _tag(detection, line, colour, width)
        tags.append((sprite, *layout.place(sprite.width, sprite.height, beside(box, sprite.width, sprite.height))))
    for detection in reversed(surest):
        _draw_box(image, to_pixels(detection.box, width, height), detection_colour(detection), pen)
    for sprite, left, top in reversed(tags):
        paste(image, sprite, left, top)


def _draw_box(image: Image, box: Box, colour: Colour, pen: int) -> None:
    """Lines of exactly `pen` pixels with a dark one on either side; OpenCV's thicker lines are wider than they say."""
    left, top, right, bottom = box
    inmost, outmost = pen // 2 - pen, pen // 2 + 1
    for out in (inmost, outmost, *range(inmost + 1, outmost)):
        ink = BLACK if out in (inmost, outmost) else colour
        cv2.rectangle(image, (left - out, top - out), (right + out, bottom + out), ink)


def draw_classes(image: Image, classes: Sequence[ClassScore]) -> Image:
    """A caption in the upper left corner, one line for each class, best first."""
    drawn: Image = image.copy()
    line = line_height(image.shape[1], image.shape[0])
    top = 0
    for found in classes:
        sprite = tag(f"{found.score:.2f} {found.label}", line, class_colour(found.class_id))
        paste(drawn, sprite, 0, top)
        top += sprite.height
    return drawn


def class_colour(class_id: int) -> Colour:
    """The same for a class everywhere, and far from its neighbours'."""
    return _colour(class_id, 0)


def detection_colour(detection: Detection) -> Colour:
    """Near that of its class: things of one class that are followed differ a little, so as to be told apart."""
    return _colour(detection.class_id, 0 if detection.track_id is None else detection.track_id % len(_SHADES))


def to_pixels(box: tuple[float, float, float, float], width: int, height: int) -> Box:
    """Fractions of the frame as pixels: left, top, right, bottom."""
    left, top, right, bottom = box
    return (
        round(left * (width - 1)),
        round(top * (height - 1)),
        round(right * (width - 1)),
        round(bottom * (height - 1)),
    )


def pen_width(width: int, height: int) -> int:
    """Pixels of a line: 2 at 640 x 480, 3 at 1080p, 6 at 4K."""
    return max(1, round(1.6 * scale(width, height)))


@lru_cache(maxsize=1024)
def _colour(class_id: int, shade: int) -> Colour:
    shift, saturation, value = _SHADES[shade]
    red, green, blue = colorsys.hsv_to_rgb((_FIRST_HUE + class_id * _GOLDEN + shift) % 1.0, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def _tag(detection: Detection, line: int, colour: Colour, width: int) -> Sprite:
    """Label, track and score; without the score where the picture has no room for it."""
    name = detection.label if detection.track_id is None else f"{detection.label} #{detection.track_id}"
    sprite = tag(f"{name} {detection.score:.2f}", line, colour)
    return sprite if sprite.width <= width * _WIDE else tag(name, line, colour)
