from __future__ import annotations

import numpy as np
import pytest

from edgemass.config.integrity import IntegrityConfig
from edgemass.scene._look import Look, take_look
from edgemass.scene.integrity import Integrity, Verdict
from tests.simulators.manual_clock import NS
from tests.simulators.mishaps import Grey, noisy
from tests.unit.scene.test_views import SHAPE, picture

FPS = 10


class Watched:
    """A camera of ten pictures a second, and how many of them were looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **options: object) -> None:
        self.integrity = Integrity(IntegrityConfig(**options))  # type: ignore[arg-type]
        self.looks = 0
        self._second = 0.0
        self._rng = np.random.default_rng(1)

        def counted(luma: Grey) -> Look:
            self.looks += 1
            return take_look(luma)

        monkeypatch.setattr("edgemass.scene.integrity.take_look", counted)

    def see(self, shown: Grey, seconds: float) -> Verdict:
        for _ in range(round(seconds * FPS)):
            self._second += 1 / FPS
            verdict = self.integrity.look(noisy(shown.astype(np.float32), 2, self._rng), round(self._second * NS))
        return verdict


def test_it_looks_once_a_second_and_twice_while_something_is_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.see(picture(), 30)
    assert 29 <= watched.looks <= 31
    watched.looks = 0
    assert watched.see(np.full(SHAPE, 90, np.uint8), 10).cause == "covered"
    assert 18 <= watched.looks <= 21


def test_a_picture_that_is_not_due_need_not_be_made_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    integrity = watched.integrity
    assert integrity.due(0)
    integrity.look(picture(), 0)
    assert not integrity.due(NS // 2)
    assert integrity.due(NS)
    assert integrity.due(-NS), "a clock that jumps back is no reason to look no more"


def test_what_is_ignored_is_never_told(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, ignore=("covered",))
    watched.see(picture(), 30)
    assert watched.see(np.full(SHAPE, 90, np.uint8), 10).cause == ""


def test_a_camera_that_stays_moved_has_a_new_usual_view_and_the_old_one_is_known_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch, accept_moved_s=20)
    watched.see(picture(1), 30)
    assert watched.see(picture(2), 10).cause == "moved"
    assert watched.see(picture(2), 20).cause == ""
    assert watched.see(picture(1), 10).cause == ""


def test_what_was_learned_is_known_after_a_restart_and_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.see(picture(), 30)
    memory = watched.integrity.memory()
    assert memory is not None
    watched.integrity = Integrity(IntegrityConfig(), memory)
    watched.see(picture(), 2)
    watched.integrity.forget()
    assert watched.see(picture(2), 8).cause == "moved"


def test_a_picture_of_another_size_is_another_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.see(picture(), 30)
    larger = np.kron(picture(2), np.ones((2, 2), np.uint8))
    verdict = watched.see(larger, 5)
    assert (verdict.cause, verdict.learning) == ("", True)


def test_relearning_takes_whatever_is_there_for_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.see(picture(), 30)
    cloth = np.full(SHAPE, 90, np.uint8)
    assert watched.see(cloth, 10).cause == "covered"
    watched.integrity.relearn()
    assert watched.see(cloth, 30).cause == ""
