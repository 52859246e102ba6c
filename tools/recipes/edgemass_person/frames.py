"""Frames of the videos, with people as three teachers see them: the second half of what edgemass-person learnt from.

    python tools/recipes/edgemass_person/frames.py ASSETS DATA

ASSETS/videos and ASSETS/detectors are read; DATA/frames gets the pictures, DATA/<clip>.json their annotations. Of
vtest.avi only the first 470 frames are taken, so that the rest can be measured on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2

from edgemass import bundles, sources
from edgemass.clock import SystemClock
from edgemass.frame import Image
from edgemass.progress import untold
from edgemass.sources import CaptureOptions
from edgemass_tools import teaching

CLIPS = {  # clip -> every how many frames, and up to which
    "vtest.avi": (6, 470),
    "one-by-one-person-detection.mp4": (9, 1394),
    "highway_video2.avi": (9, 750),
}
TEACHERS = ("yolox_nano_416.onnx", "picodet_s_320_coco.onnx", "nanodet_m_416_int8.onnx")  # all Apache-2.0
RULE = teaching.Rule(object=0.30, doubt=0.12, mirror=True, tiles=True)
# What else is to be seen helps to tell what is no person; only person is kept in the end.
LABELS = tuple(
    """person, car, dog, bicycle, truck, motorcycle, bottle, cat, traffic light, chair, cup, book, bowl, horse, bus,
    umbrella, dining table, tv, potted plant, boat, bird, cow, frisbee, bed, laptop, spoon, handbag, oven""".replace(
        "\n   ", ""
    ).split(", ")
)
LONGEST = 512
JPEG_QUALITY = 90


def main() -> int:
    assets, data = Path(sys.argv[1]), Path(sys.argv[2])
    folder = data / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    teachers = [teacher(assets / "detectors" / name) for name in TEACHERS]
    for clip in CLIPS:
        name = clip.partition(".")[0]
        pictures = [write(folder / f"{name}_{number:05d}.jpg", image) for number, image in taken(assets, clip)]
        found = teaching.label(pictures, teachers, LABELS, RULE, untold, f"video_{name}")
        teaching.save(found, data / f"{name}.json")
        print(f"{clip}: {len(found['images'])} pictures, {len(found['annotations'])} boxes", flush=True)
    return 0


def teacher(path: Path) -> teaching.Teacher:
    bundle = bundles.resolve(str(path))
    detector, _ = bundles.open_detector(bundle)
    return teaching.teacher(detector.stream(), bundle.manifest, LABELS)


def taken(assets: Path, clip: str) -> Iterator[tuple[int, Image]]:
    every, end = CLIPS[clip]
    source = sources.open(str(assets / "videos" / clip), CaptureOptions(), SystemClock())
    for number, frame in enumerate(source.frames()):
        if number >= end:
            return
        if number % every == 0:
            yield number, frame.image


def write(path: Path, image: Image) -> Path:
    ratio = LONGEST / max(image.shape[:2])
    smaller = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA) if ratio < 1 else image
    cv2.imwrite(str(path), smaller, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return path


if __name__ == "__main__":
    sys.exit(main())
