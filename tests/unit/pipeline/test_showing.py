"""What is drawn beside the boxes says the same as they do."""

from __future__ import annotations

import pytest

from edgemass.config import camera_config
from edgemass.pipeline.showing import overlay
from edgemass.scene.happening import Counts
from tests.documents import detections

CAMERA = camera_config({"source": "0"}, "camera door")


@pytest.mark.parametrize(
    ("boxes", "unseen"),
    [
        (("person", "person"), {"person": 0, "dog": 0}),
        (("person",), {"person": 1, "dog": 0}),  # the other one is lost, or behind something
        (("person", "person", "person", "cat"), {"person": 0, "dog": 0}),  # one is not believed yet
        ((), {"person": 2, "dog": 0}),
    ],
)
def test_who_is_counted_and_has_no_box_is_out_of_sight(boxes: tuple[str, ...], unseen: dict[str, int]) -> None:
    counts = Counts(available=True, labels={"person": 2, "dog": None}, zones={}, lines={})
    shown = overlay(CAMERA, [], counts, {}, boxes=detections(*boxes).detections)
    assert (shown.counts, shown.unseen) == ({"person": 2, "dog": None}, unseen)


def test_without_counts_nobody_is_missed() -> None:
    assert overlay(CAMERA, [], None, {}, boxes=detections("person").detections).unseen == {}
