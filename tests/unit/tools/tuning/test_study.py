"""Promises of a search: it repeats, goes on where it was interrupted, and no failed trial nor Ctrl-C costs it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="needs the extra train of edgemass-tools")

from edgemass.errors import UsageError
from edgemass_tools.tuning import study as searching
from edgemass_tools.tuning.space import Parameter, Space
from edgemass_tools.tuning.study import Attempt, Found, Objective, Plan, TrialError

SPACE: Space = {
    "x": Parameter(0.1, 0.0, 1.0),
    "rate": Parameter(1e-3, 1e-5, 1e-1, log=True),
    "top": Parameter(9, 3, 20),
    "method": Parameter("a", choices=("a", "b")),
}


def quiet(_done: int, _total: int) -> None: ...


def number(attempt: Attempt, name: str) -> float:
    return float(attempt.settings[name])


def hill(attempt: Attempt) -> float:
    """Highest at x = 0.7."""
    return 1 - (number(attempt, "x") - 0.7) ** 2


def search(storage: Path, trials: int, objective: Objective = hill, *, seed: int = 0, pruner: str = "none") -> Found:
    plan = Plan(subject="test", storage=storage, trials=trials, seed=seed, pruner=pruner)
    return searching.search(SPACE, objective, plan, quiet)


@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_the_first_trial_is_the_default_and_the_best_is_better(name: str, tmp_path: Path) -> None:
    found = search(tmp_path / name, 12)
    assert found.finished
    assert found.default
    assert found.best
    assert found.default.settings == {"x": 0.1, "rate": 1e-3, "top": 9, "method": "a"}
    assert found.best.value is not None
    assert found.default.value is not None
    assert found.best.value > found.default.value
    assert len(found.rows) == 12


def test_the_same_seed_tries_the_same_and_another_seed_does_not(tmp_path: Path) -> None:
    one, again = search(tmp_path / "a.log", 9), search(tmp_path / "b.log", 9)
    other = search(tmp_path / "c.log", 9, seed=1)
    assert [row.settings for row in one.rows] == [row.settings for row in again.rows]
    assert [row.settings for row in one.rows[1:]] != [row.settings for row in other.rows[1:]]


def test_an_interrupted_search_goes_on_to_what_an_uninterrupted_one_finds(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole.log", 10)

    def interrupted(attempt: Attempt) -> float:
        if attempt.number == 7:
            raise KeyboardInterrupt
        return hill(attempt)

    first = search(tmp_path / "parts.log", 10, interrupted)
    assert not first.finished
    assert len(first.rows) == 7
    rest = search(tmp_path / "parts.log", 10)
    assert rest.finished
    assert [row.settings for row in rest.rows] == [row.settings for row in whole.rows]


def test_a_search_whose_process_was_killed_makes_its_last_trial_again(tmp_path: Path) -> None:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = tmp_path / "study.log"
    search(storage, 3)
    backend = JournalFileBackend(str(storage))
    optuna.load_study(study_name="test", storage=optuna.storages.JournalStorage(backend)).ask()
    found = search(storage, 5)
    assert [row.state for row in found.rows] == ["done"] * 5
    assert [row.settings for row in found.rows] == [row.settings for row in search(tmp_path / "whole.log", 5).rows]


def test_trials_that_are_done_count(tmp_path: Path) -> None:
    search(tmp_path / "study.log", 4)
    seen: list[int] = []

    def counted(attempt: Attempt) -> float:
        seen.append(attempt.number)
        return hill(attempt)

    assert len(search(tmp_path / "study.log", 6, counted).rows) == 6
    assert seen == [4, 5]


@pytest.mark.parametrize("bad", [TrialError("no number"), UsageError("these do not go together"), None])
def test_a_failed_trial_is_recorded_and_the_search_goes_on(bad: Exception | None, tmp_path: Path) -> None:
    def failing(attempt: Attempt) -> float:
        if attempt.number == 2:
            if bad is None:
                return float("nan")
            raise bad
        return hill(attempt)

    found = search(tmp_path / "study.log", 5, failing)
    assert [row.state for row in found.rows] == ["done", "done", "failed", "done", "done"]
    assert found.rows[2].why == (str(bad) if bad else "it came out as nan")
    assert found.finished


def test_a_mistake_in_the_default_ends_the_search_at_once_and_can_be_put_right(tmp_path: Path) -> None:
    def wrong(_attempt: Attempt) -> float:
        raise UsageError("no such folder")

    with pytest.raises(UsageError, match="no such folder"):
        search(tmp_path / "study.log", 5, wrong)
    found = search(tmp_path / "study.log", 2)
    assert found.default
    assert found.default.settings["x"] == 0.1


def test_a_full_disk_ends_the_search_and_costs_no_trial(tmp_path: Path) -> None:
    def full(attempt: Attempt) -> float:
        if attempt.number == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return hill(attempt)

    with pytest.raises(UsageError, match=r"trial 2 could not be made: .*No space left on device"):
        search(tmp_path / "study.log", 4, full)
    assert [row.state for row in search(tmp_path / "study.log", 4).rows] == ["done"] * 4


def test_a_trial_that_falls_behind_is_given_up(tmp_path: Path) -> None:
    def slow(attempt: Attempt) -> float:
        for step in range(1, 5):
            attempt.report(step, -float(attempt.number))
        return -float(attempt.number)

    found = search(tmp_path / "study.log", 8, slow, pruner="median")
    assert [row.state for row in found.rows[:4]] == ["done"] * 4
    assert {row.state for row in found.rows[4:]} == {"pruned"}
    assert "others did better" in found.rows[-1].why


def test_what_matters_is_told(tmp_path: Path) -> None:
    found = search(tmp_path / "study.log", 25)
    assert max(found.importance, key=lambda name: found.importance[name]) == "x"


def test_another_search_in_the_same_file_is_refused(tmp_path: Path) -> None:
    search(tmp_path / "study.log", 2)
    with pytest.raises(UsageError, match="begun with"):
        search(tmp_path / "study.log", 3, seed=1)


@pytest.mark.parametrize("name", ["study.log", "study.db"])
def test_a_file_that_is_no_search_is_refused_and_left_as_it_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"something else\n" * 100)
    with pytest.raises(UsageError, match=r"no search of ours|cannot read or write"):
        search(path, 2)
    assert path.read_bytes() == b"something else\n" * 100
