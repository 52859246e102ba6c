"""A drawn data set: figures on textures, with COCO annotations.

It belongs to nobody, is made in seconds, and can be learnt by a small net in minutes, so that the whole road from
training to a device can be walked on any machine. A figure is a person as a child draws one: head, body and legs.
Balls, boxes and bars are drawn too, and are nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgemass.frame import Image
from edgemass_tools import teaching
from edgemass_tools.data.augment import texture

LABELS = ("person",)
SIZE = (256, 192)
MOST_FIGURES = 4
EMPTY = 0.25
"""Share of the pictures that hold no figure."""

Box = tuple[float, float, float, float]


def write(folder: Path, count: int, seed: int, size: tuple[int, int] = SIZE) -> Path:
    """Draw `count` pictures into folder/images; returns the annotations, folder/instances.json."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    body: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": LABELS[0]}],
    }
    for number in range(1, count + 1):
        image, boxes = draw(size, np.random.default_rng((seed, number)))
        name = f"{number:05d}.jpg"
        cv2.imwrite(str(images / name), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
        body["images"].append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        for x1, y1, x2, y2 in boxes:
            row = {"image_id": number, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
            body["annotations"].append({"id": len(body["annotations"]) + 1, "area": (x2 - x1) * (y2 - y1), **row})
    path = folder / "instances.json"
    teaching.save(body, path)
    return path


def draw(size: tuple[int, int], rng: np.random.Generator) -> tuple[Image, list[Box]]:
    """One picture (h, w, 3) uint8 BGR and the figures in it, corners in pixels."""
    image = texture(size, rng)
    for _ in range(int(rng.integers(0, 4))):
        _thing(image, rng)
    count = 0 if rng.random() < EMPTY else int(rng.integers(1, MOST_FIGURES + 1))
    boxes: list[Box] = []
    for _ in range(count):
        height = float(rng.uniform(0.2, 0.8)) * size[1]
        width = height * float(rng.uniform(0.3, 0.45))
        x, y = float(rng.uniform(0, size[0] - width)), float(rng.uniform(0, size[1] - height))
        box = (x, y, x + width, y + height)
        if all(_apart(box, other) for other in boxes):
            _figure(image, box, rng)
            boxes.append(box)
    return image, boxes


def _apart(one: Box, other: Box) -> bool:
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def _figure(image: Image, box: Box, rng: np.random.Generator) -> None:
    """Head, body and two legs that fill the box."""
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    skin, coat, legs = (tuple(int(v) for v in rng.integers(0, 256, 3)) for _ in range(3))
    middle, radius = (x1 + x2) / 2, height * 0.11
    hips, foot = y1 + height * 0.58, max(2, round(width * 0.18))
    for side in (-1, 1):
        start = round(middle + side * width * 0.12), round(hips)
        end = round(middle + side * width * 0.36), round(y2) - foot // 2
        cv2.line(image, start, end, legs, foot)
    cv2.rectangle(image, (round(x1), round(y1 + 2 * radius)), (round(x2), round(hips)), coat, -1)
    cv2.circle(image, (round(middle), round(y1 + radius)), max(2, round(radius)), skin, -1)


def _thing(image: Image, rng: np.random.Generator) -> None:
    """A ball, a box or a bar: what is no figure."""
    height, width = image.shape[:2]
    color = tuple(int(v) for v in rng.integers(0, 256, 3))
    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
    side = int(rng.integers(8, height // 3))
    kind = int(rng.integers(0, 3))
    if kind == 0:
        cv2.circle(image, (x, y), side // 2, color, -1)
    elif kind == 1:
        cv2.rectangle(image, (x, y), (x + side, y + side * 2 // 3), color, -1)
    else:
        cv2.line(image, (x, y), (x + side, y + side // 2), color, max(1, side // 6))
