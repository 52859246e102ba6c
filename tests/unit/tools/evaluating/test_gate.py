from __future__ import annotations

import pytest

from edgemass.errors import UsageError
from edgemass_tools.evaluating import gate
from edgemass_tools.evaluating.gate import Bounds
from tests.simulators.results import classified, detected, result


def test_every_bound_that_is_missed_is_told_with_by_how_much() -> None:
    found = result(
        detected("fp32", 0.4, loss=None, held=False),
        detected("int8", 0.35, loss=0.05, held=True, frame_ms=9.5),
        detected("int4", 0.2, loss=0.2, held=True),
    )
    bounds = Bounds(min_map=0.3, min_map50=0.7, max_loss=0.02, max_ms=8)
    assert gate.misses(bounds, found) == (
        "int8: AP50 0.6000, wanted at least 0.7: 0.1000 short",
        "int8: loses 0.0500, wanted at most 0.02: 0.0300 over",
        "int8: a frame takes 9.50 ms, wanted at most 8: 1.50 over",
        "int4: mAP 50-95 0.2000, wanted at least 0.3: 0.1000 short",
        "int4: AP50 0.6000, wanted at least 0.7: 0.1000 short",
        "int4: loses 0.2000, wanted at most 0.02: 0.1800 over",
    )


def test_what_is_not_held_may_miss_and_what_is_met_is_silent() -> None:
    found = result(detected("fp32", 0.1, loss=None, held=False), detected("int8", 0.5, loss=-0.4, held=True))
    assert gate.misses(Bounds(min_map=0.5, max_loss=0, max_ms=5), found) == ()


def test_a_classifier_is_held_to_its_top1() -> None:
    found = result(classified("int8", held=True))
    assert gate.misses(Bounds(min_top1=0.6), found) == ()
    assert gate.misses(Bounds(min_top1=0.7), found) == ("int8: top-1 0.6667, wanted at least 0.7: 0.0333 short",)


@pytest.mark.parametrize(
    ("bounds", "task", "told"),
    [
        (Bounds(min_map=1.2), "detection", "--min-map must lie between 0 and 1, found 1.2"),
        (Bounds(min_map50=-1), "detection", "--min-map50 must lie"),
        (Bounds(max_loss=float("nan")), "detection", "--max-loss must lie"),
        (Bounds(max_ms=0), "detection", "--max-ms must be a number of milliseconds above 0"),
        (Bounds(max_ms=float("inf")), "classification", "--max-ms must"),
        (Bounds(min_top1=0.5), "detection", "--min-top1 is no bound for a detection model; give --min-map"),
        (
            Bounds(min_map50=0.5),
            "classification",
            "--min-map50 is no bound for a classification model; give --min-top1",
        ),
    ],
)
def test_a_bound_that_means_nothing_is_refused(bounds: Bounds, task: str, told: str) -> None:
    with pytest.raises(UsageError, match=told.replace(".", r"\.")):
        gate.check(bounds, task)
