from __future__ import annotations

import msgspec
import numpy as np
import pytest

from edgemass.bundles.golden import compare, tolerances
from edgemass.detections import Classification, Detections
from edgemass.manifest import Golden, Variant
from tests.simulators import bundles

STOCK = Variant(name="fp32", file="a.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1)
INT8 = msgspec.structs.replace(STOCK, name="int8", precision="int8")
MANIFEST = bundles.made_of(STOCK, INT8).manifest
CAT, DOG = 0, 1
SAMPLE = Golden(image="a.png", labels=("cat",), scores=(0.9,), boxes=((0.1, 0.1, 0.5, 0.5),))
SIZE, TOLERANCE = (100, 200), (0.1, 0.8)


def found(*things: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
    boxes = np.array([box for _, _, box in things], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score, _ in things], np.float32)
    return Detections(boxes, scores, np.array([class_id for class_id, _, _ in things], np.int64))


RIGHT = (10.0, 20.0, 50.0, 100.0)
AWAY = (60.0, 120.0, 90.0, 180.0)


@pytest.mark.parametrize(
    ("things", "wrong"),
    [
        ([(CAT, 0.9, RIGHT)], ""),
        ([(CAT, 0.85, (11.0, 22.0, 52.0, 102.0)), (DOG, 0.3, AWAY)], ""),
        ([(CAT, 0.9, RIGHT), (CAT, 0.2, RIGHT)], ""),
        ([], "a.png: no 'cat' is found where one is"),
        ([(CAT, 0.9, AWAY)], "a.png: no 'cat' is found where one is"),
        ([(DOG, 0.9, RIGHT)], "a.png: it says 'dog' of what is 'cat'"),
        ([(CAT, 0.6, RIGHT)], "a.png: 'cat' has score 0.60, wanted 0.90 ± 0.1"),
        (
            [(CAT, 0.9, RIGHT), (DOG, 0.99, AWAY)],
            "a.png: it is sure of 1 things that are not there, the first is 'dog'",
        ),
    ],
)
def test_a_detector_finds_what_the_sample_says_and_nothing_else_that_is_sure(
    things: list[tuple[int, float, tuple[float, float, float, float]]], wrong: str
) -> None:
    assert compare(SAMPLE, found(*things), MANIFEST, size=SIZE, tolerance=TOLERANCE) == wrong


def test_each_golden_box_has_a_counterpart_of_its_own() -> None:
    twice = msgspec.structs.replace(SAMPLE, labels=("cat", "cat"), scores=(0.9, 0.9), boxes=SAMPLE.boxes * 2)
    assert compare(twice, found((CAT, 0.9, RIGHT)), MANIFEST, size=SIZE, tolerance=TOLERANCE).startswith(
        "a.png: no 'cat'"
    )
    assert not compare(twice, found((CAT, 0.9, RIGHT), (CAT, 0.9, RIGHT)), MANIFEST, size=SIZE, tolerance=TOLERANCE)


@pytest.mark.parametrize(
    ("scores", "wrong"),
    [
        ((0.9, 0.1), ""),
        ((0.1, 0.9), "'a text': it says 'dog', wanted 'cat'"),
        ((0.7, 0.3), "'a text': 'cat' has score 0.70, wanted 0.90 ± 0.1"),
    ],
)
def test_a_classifier_says_the_class_of_the_sample(scores: tuple[float, float], wrong: str) -> None:
    order = np.argsort(scores)[::-1]
    answer = Classification(np.array(scores, np.float32)[order], order.astype(np.int64))
    sample = Golden(text="a text", labels=("cat",), scores=(0.9,))
    assert compare(sample, answer, MANIFEST, size=(6, 1), tolerance=TOLERANCE) == wrong


def test_two_classes_that_are_as_likely_may_change_places() -> None:
    answer = Classification(np.array([0.46, 0.44], np.float32), np.array([DOG, CAT]))
    sample = Golden(text="a text", labels=("cat",), scores=(0.45,))
    assert not compare(sample, answer, MANIFEST, size=(6, 1), tolerance=TOLERANCE)


def test_another_precision_or_an_accelerator_may_differ_more_than_the_sample_says() -> None:
    assert tolerances(SAMPLE, MANIFEST, STOCK, accelerated=False) == (0.05, 0.9)
    assert tolerances(SAMPLE, MANIFEST, INT8, accelerated=False) == (0.2, 0.7)
    assert tolerances(SAMPLE, MANIFEST, STOCK, accelerated=True) == (0.2, 0.7)
