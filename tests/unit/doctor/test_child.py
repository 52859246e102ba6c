from __future__ import annotations

import os
import threading
import time

import pytest

from edgemass.doctor import child


def test_what_a_check_has_started_ends_with_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_ending", threading.Event())
    answers: list[child.Answer] = []
    check = threading.Thread(target=lambda: answers.append(child.ask("signal:pause", {}, 60.0)))
    check.start()
    ends = time.monotonic() + 30
    while not child._running and time.monotonic() < ends:
        os.sched_yield()
    child.end_all()
    check.join(30)
    assert [answer.failure for answer in answers] in (["it crashed (SIGKILL)"], ["the doctor is ending"])
    assert child.ask("signal:pause", {}, 60.0).failure == "the doctor is ending"
    assert not child._running
