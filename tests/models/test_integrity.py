"""Real cameras that something happens to: noticed within ten seconds, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.integrity import WAIT_S, false_alarms, found_after, frozen_after
from tests.simulators.mishaps import HARMLESS, MISHAPS, Grey, thinned

pytestmark = pytest.mark.assets

SURE = ("black cloth", "grey cloth within 2 s", "blurred", "moved by 5 %")


@pytest.fixture(scope="module")
def street(assets: Path) -> list[Grey]:
    return thinned(assets / "videos" / "vtest.avi")


@pytest.mark.parametrize("what", SURE)
def test_a_camera_that_does_not_see_is_told_with_its_cause_within_ten_seconds(street: list[Grey], what: str) -> None:
    fits, mishap = MISHAPS[what]
    after_s, cause = found_after(street, mishap, WAIT_S)
    assert after_s is not None
    assert cause == fits


def test_a_picture_that_stays_is_told_as_frozen(street: list[Grey]) -> None:
    after_s, cause = frozen_after(street)
    assert after_s is not None
    assert cause == "frozen"


@pytest.mark.parametrize("what", ["truck", "light off", "clouds"])
def test_what_passes_and_changes_of_light_are_no_trouble(street: list[Grey], what: str) -> None:
    assert found_after(street, HARMLESS[what], 30.0) == (None, "")


def test_six_normal_minutes_have_no_false_alarm(street: list[Grey]) -> None:
    assert false_alarms(street, 0.1) == 0
