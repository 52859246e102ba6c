"""Models that our own tools made and that lie in the repository: every variant finds what it promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemass import bundles, evaluate, manifest, sources
from edgemass.bundles import Bundle
from edgemass.clock import SystemClock
from edgemass.detections import Detections
from edgemass.detector import Stream, Thresholds
from edgemass.manifest import Golden, Variant
from edgemass.sources import CaptureOptions
from edgemass.sources._drawn_street import FPS, WALKERS, WIDTH, Walker
from edgemass.sources.images import read
from edgemass.tensors import FloatArray
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.runtime

MODELS = REPOSITORY / "models"
FOLDERS = [
    folder
    for folder in sorted(path for path in MODELS.iterdir() if path.is_dir())
    if not manifest.from_toml((folder / "manifest.toml").read_bytes(), where=folder.name).reference.address
]
VARIANTS = [(folder, variant.name) for folder in FOLDERS for variant in bundles.load_bundle(folder).manifest.variants]


@pytest.fixture(params=VARIANTS, ids=lambda pair: f"{pair[0].name}/{pair[1]}")
def opened(request: pytest.FixtureRequest) -> tuple[Bundle, Variant, Stream]:
    folder, name = request.param
    bundle = bundles.load_bundle(folder)
    detector, variant = bundles.open_detector(bundle, threads=1, variant=name)
    return bundle, variant, detector.stream()


def test_every_variant_finds_the_golden_samples(opened: tuple[Bundle, Variant, Stream]) -> None:
    bundle, _, stream = opened
    assert bundle.manifest.golden
    for sample in bundle.manifest.golden:
        image = read(bundle.folder / sample.image)
        found = stream.detect(image, Thresholds(bundle.manifest.score / 2)).found
        assert isinstance(found, Detections)
        size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        _hold(sample, found, found.xyxy / size, bundle.manifest.labels)


def _hold(sample: Golden, found: Detections, boxes: FloatArray, labels: tuple[str, ...]) -> None:
    for label, score, box in zip(sample.labels, sample.scores, sample.boxes, strict=True):
        overlaps = [_iou(np.array(box, np.float32), other) for other in boxes]
        best = int(np.argmax(overlaps))
        assert overlaps[best] >= sample.iou_tolerance
        assert labels[int(found.class_id[best])] == label
        assert abs(float(found.score[best]) - score) <= sample.score_tolerance


def _iou(one: FloatArray, other: FloatArray) -> float:
    sides = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None)
    areas = [float((box[2:] - box[:2]).prod()) for box in (one, other)]
    shared = float(sides.prod())
    return shared / (sum(areas) - shared)


@pytest.mark.assets
def test_every_variant_is_as_accurate_as_its_manifest_says(
    opened: tuple[Bundle, Variant, Stream], assets: Path
) -> None:
    bundle, variant, stream = opened
    (stated,) = variant.accuracy or bundle.manifest.accuracy
    found = evaluate.detection(
        stream,
        bundle.manifest.labels,
        assets / "coco-val" / "images",
        assets / "coco-val" / "instances.json",
        lambda _done, _total: None,
    )
    assert stated.data == "coco-val"
    assert stated.map_50 == pytest.approx(found.map_50, abs=0.01)


def test_every_variant_sees_the_people_of_the_demo_clip(opened: tuple[Bundle, Variant, Stream]) -> None:
    bundle, _, stream = opened
    with_people = frames = 0
    for frame in sources.open("demo:street", CaptureOptions(), SystemClock()).frames():
        frames += 1
        with_people += len(stream.detect(frame.image, Thresholds(bundle.manifest.score)).found.score) > 0
    assert frames == 250
    assert with_people > 50


def test_every_variant_finds_those_who_walk_in_the_drawn_street(opened: tuple[Bundle, Variant, Stream]) -> None:
    bundle, _, stream = opened
    seen = there = found = right = 0
    for number, frame in enumerate(sources.open("demo:", CaptureOptions(), SystemClock()).frames()):
        if number % 10:
            continue
        detections = stream.detect(frame.image, Thresholds(bundle.manifest.score)).found
        assert isinstance(detections, Detections)
        boxes = detections.xyxy
        known = [_where(walker, number / FPS) for walker in WALKERS]
        whole = [box for box in known if box[0] >= 0 and box[2] <= WIDTH]
        there += len(whole)
        seen += sum(any(_iou(box, other) > 0.4 for other in boxes) for box in whole)
        found += len(boxes)
        right += sum(any(_iou(box, other) > 0.4 for other in known) for box in boxes)
    assert there > 100
    assert seen / there > 0.7
    assert right / found > 0.9


def _where(walker: Walker, second: float) -> FloatArray:
    """Box of a walker in pixels, arms and legs half way out."""
    x, half = walker.place(second), walker.height * 0.2
    return np.array((x - half, walker.y - walker.height, x + half, walker.y), np.float32)
