"""Pictures as a detector sees them in training: put together, scaled, mirrored, recoloured. NumPy and OpenCV only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import msgspec
import numpy as np

from edgemass.frame import Image
from edgemass.tensors import AnyArray, FloatArray
from edgemass_tools.data.coco import Objects

GREY = 114
LEAST_VISIBLE = 0.25
"""Share of a box that must stay in the picture; of less nobody could say what it is."""
LEAST_SIDE = 3.0  # pixels

Draw = Callable[[], tuple[Image, Objects]]
"""Gives a further picture at random."""


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """mosaic: share of pictures that are put together from four. scale: least and most size of a picture in its frame.

    flip, recolor, grey, blur: how often. empty: share of mosaics' fields that hold made-up texture and no object.
    """

    mosaic: float = 0.65
    scale: tuple[float, float] = (0.6, 1.4)
    flip: float = 0.5
    recolor: float = 0.8
    grey: float = 0.05
    blur: float = 0.1
    empty: float = 0.06


PLAIN = Augment(mosaic=0.0, scale=(0.9, 1.1), recolor=0.3, blur=0.0, empty=0.0)
"""For the last epochs: pictures almost as the device sees them."""


def compose(draw: Draw, size: tuple[int, int], augment: Augment, rng: np.random.Generator) -> tuple[Image, Objects]:
    """One training picture.

    size: (width, height) in pixels.
    Returns the picture (height, width, 3) uint8 BGR and what is in it, in its pixels.
    """
    image, objects = (
        _mosaic(draw, size, augment, rng) if rng.random() < augment.mosaic else (_single(draw, size, augment, rng))
    )
    if rng.random() < augment.flip:
        image = image[:, ::-1]
        xyxy = objects.xyxy.copy()
        xyxy[:, [0, 2]] = size[0] - objects.xyxy[:, [2, 0]]
        objects = objects.moved(xyxy)
    changed = tinted(image, recolor=augment.recolor, grey=augment.grey, blur=augment.blur, rng=rng)
    return np.ascontiguousarray(changed), objects


def _single(draw: Draw, size: tuple[int, int], augment: Augment, rng: np.random.Generator) -> tuple[Image, Objects]:
    width, height = size
    image, objects = draw()
    fit = min(width / image.shape[1], height / image.shape[0])
    scale = fit * float(rng.uniform(*augment.scale))
    # Somewhere in the frame where it is smaller, some cut of it where it is larger.
    left = float(rng.uniform(*sorted((0.0, width - image.shape[1] * scale))))
    top = float(rng.uniform(*sorted((0.0, height - image.shape[0] * scale))))
    canvas = _canvas(size, rng)
    return canvas, _paste(canvas, image, objects, (scale, left, top), (0, 0, width, height))


def _mosaic(draw: Draw, size: tuple[int, int], augment: Augment, rng: np.random.Generator) -> tuple[Image, Objects]:
    width, height = size
    canvas = _canvas(size, rng)
    x, y = round(width * float(rng.uniform(0.3, 0.7))), round(height * float(rng.uniform(0.3, 0.7)))
    parts = []
    for left, top, right, bottom in ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)):
        if rng.random() < augment.empty:
            canvas[top:bottom, left:right] = texture((right - left, bottom - top), rng)
            continue
        image, objects = draw()
        sides = (right - left) / image.shape[1], (bottom - top) / image.shape[0]
        # Between all of it in the field and the field full of it, times the scale.
        scale = float(rng.uniform(min(sides), max(sides))) * float(rng.uniform(max(augment.scale[0], 0.7), 1.15))
        slack_x = (right - left) - image.shape[1] * scale
        slack_y = (bottom - top) - image.shape[0] * scale
        place = (scale, left + float(rng.uniform(0, 1)) * slack_x, top + float(rng.uniform(0, 1)) * slack_y)
        parts.append(_paste(canvas, image, objects, place, (left, top, right, bottom)))
    return canvas, concatenate(parts)


def concatenate(parts: Sequence[Objects]) -> Objects:
    """All objects of several pictures."""
    if not parts:
        return Objects.none()
    return Objects(
        np.concatenate([part.xyxy for part in parts]),
        np.concatenate([part.class_id for part in parts]),
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.ignore for part in parts]),
    )


def _paste(
    canvas: Image,
    image: Image,
    objects: Objects,
    place: tuple[float, float, float],
    field: tuple[int, int, int, int],
) -> Objects:
    """Draw a picture into a field of the canvas, scaled and moved; returns what of its objects is left."""
    scale, left, top = place
    x1, y1, x2, y2 = field
    if scale < 0.5:  # halves of pixels would be skipped
        smaller = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix = np.array([[1, 0, left - x1], [0, 1, top - y1]], np.float64)
        source: AnyArray = smaller
    else:
        matrix = np.array([[scale, 0, left - x1], [0, scale, top - y1]], np.float64)
        source = image
    target = np.ascontiguousarray(canvas[y1:y2, x1:x2])
    cv2.warpAffine(
        source, matrix, (x2 - x1, y2 - y1), target, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    canvas[y1:y2, x1:x2] = target
    return _clipped(objects.moved(objects.xyxy * scale + np.array([left, top, left, top], np.float32)), field)


def _clipped(objects: Objects, field: tuple[int, int, int, int]) -> Objects:
    """What of the objects lies in the field; what is mostly cut off is ignored, what is gone is left out."""
    low = np.array([field[0], field[1]] * 2, np.float32)
    high = np.array([field[2], field[3]] * 2, np.float32)
    xyxy = np.clip(objects.xyxy, low, high)
    sides = xyxy[:, 2:] - xyxy[:, :2]
    whole = area(objects.xyxy)
    share = sides.prod(1) / np.maximum(whole, 1e-6)
    stays = (sides.min(1, initial=np.inf) > 1) if len(sides) else np.empty(0, bool)
    unclear = (share < LEAST_VISIBLE) | (sides.min(1, initial=np.inf) < LEAST_SIDE)
    kept = Objects(xyxy, objects.class_id, objects.score, objects.ignore | unclear)
    return kept.take(stays)


def area(xyxy: FloatArray) -> FloatArray:
    return np.asarray((xyxy[:, 2:] - xyxy[:, :2]).prod(1), np.float32)


def _canvas(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """What lies around a picture: the grey of the device's letterbox, or any colour, or texture."""
    width, height = size
    kind = rng.random()
    if kind < 0.15:
        return texture(size, rng)
    color = (GREY,) * 3 if kind < 0.7 else rng.integers(0, 256, 3)
    return np.full((height, width, 3), color, np.uint8)


def texture(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Noise at some scale around some colour, as asphalt, walls, grass and sky have it: nothing that is an object."""
    width, height = size
    cell = int(rng.choice((1, 2, 4, 16, 64)))
    color = rng.uniform(0, 255, 3)
    spread = float(rng.uniform(0, 40))
    noise = rng.normal(0, spread, (max(1, height // cell + 1), max(1, width // cell + 1), int(rng.choice((1, 3)))))
    spots = np.asarray(cv2.resize(noise.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    slope = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None] * float(rng.uniform(-50, 50))
    return np.clip(spots.reshape(height, width, -1) + color + slope, 0, 255).astype(np.uint8)


def tinted(image: Image, *, recolor: float, grey: float, blur: float, rng: np.random.Generator) -> Image:
    """The picture (h, w, 3) BGR in other light, as grey, or blurred: each that often."""
    if rng.random() < recolor:
        gain = rng.uniform(0.7, 1.35) * rng.uniform(0.88, 1.12, 3)
        shift = rng.uniform(-20, 20)
        table = np.clip(np.arange(256)[:, None] * gain + shift, 0, 255).astype(np.uint8)
        image = np.asarray(
            cv2.LUT(np.ascontiguousarray(image), np.ascontiguousarray(table.reshape(256, 1, 3))), np.uint8
        )
    if rng.random() < grey:
        image = np.repeat(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)[:, :, None], 3, 2)
    if rng.random() < blur:
        image = np.asarray(
            cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), float(rng.uniform(0.4, 1.2))), np.uint8
        )
    return image
