"""A search that goes on where it was interrupted: Optuna's study in a file, one trial after the other.

What a trial draws follows from the seed, the number of finished trials and what they gave, so that an interrupted
search with the same command ends as one that was not. The first trial is the default.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from edgemass.errors import ConfigError, EdgemassError, UsageError
from edgemass.progress import Progress
from edgemass_tools.tuning import space as spaces
from edgemass_tools.tuning.space import Space, Value

logger = logging.getLogger(__name__)

PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    "hyperband": optuna.pruners.HyperbandPruner,
    "none": optuna.pruners.NopPruner,
}
STARTUP = 6
"""Trials by chance, the default among them, before the sampler learns from what it saw."""
_SQLITE = (".db", ".sqlite", ".sqlite3")
_STATES = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_WHY, _NOTES, _INTERRUPTED, _SECONDS, _ASKED = "why", "notes", "interrupted", "seconds", "asked"


class HopelessError(Exception):
    """Ends a trial that will not become the best one; `str` says why."""


class TrialError(EdgemassError):
    """A trial that gives no number; the search goes on."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """storage: SQLite where it is named so (.db, .sqlite), else Optuna's journal. trials: in all, with those done.

    asked: what must be the same to go on with a search, beside the space. timeout_s: no trial begins afterwards.
    """

    subject: str
    storage: Path
    trials: int
    seed: int = 0
    pruner: str = "median"
    timeout_s: float | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One trial. state: done, pruned or failed; why: where it is not done. value: where it is; larger is better.

    notes: further figures.
    """

    number: int
    state: str
    value: float | None
    settings: dict[str, Value]
    notes: dict[str, float]
    seconds: float
    why: str


@dataclass(frozen=True)
class Found:
    """rows: in order, the default first. importance: parameter -> share of the differences, empty where unknown.

    finished: no trial is left.
    """

    rows: tuple[Row, ...]
    importance: dict[str, float]
    finished: bool

    @property
    def default(self) -> Row | None:
        return self.rows[0] if self.rows else None

    @property
    def best(self) -> Row | None:
        """The best that is done; the earlier one of two that are equal, so the default where nothing is better."""
        done = [row for row in self.rows if row.value is not None and row.state == "done"]
        return max(done, key=lambda row: (row.value or 0.0, -row.number), default=None)


class Attempt:
    """What an objective sees of its trial. number: of finished trials before it."""

    def __init__(self, trial: optuna.Trial, number: int, settings: Mapping[str, Value]) -> None:
        self.number = number
        self.settings = settings
        self.notes: dict[str, float] = {}
        self._trial = trial

    def report(self, step: int, value: float) -> None:
        """Tell how it does so far.

        Raises:
            HopelessError: others did better at this point.
        """
        self._trial.report(value, step)
        if self._trial.should_prune():
            raise HopelessError(f"{value:.4f} after {step}, others did better")


Objective = Callable[[Attempt], float]


def search(space: Space, objective: Objective, plan: Plan, progress: Progress) -> Found:
    """Try settings until there are `plan.trials`, and return all that the file holds.

    A trial that ends with an error counts as failed. Where it is a UsageError or ConfigError of the first trial, with
    the default settings, it is the user's and ends the search. Ctrl-C ends it too, and what was done is kept.

    Raises:
        UsageError: the file holds another search, or cannot be read or written.
    """
    space = spaces.holding_defaults(space)
    try:
        study = _open(space, plan)
        finished = _go(study, space, objective, plan, progress)
        rows = _rows(study)
        return Found(rows, _importance(study), finished)
    except (optuna.exceptions.OptunaError, OSError) as error:
        raise UsageError(f"cannot read or write {plan.storage}: {error}; what was done before is intact") from error


def _open(space: Space, plan: Plan) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan.storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=_storage(plan.storage),
        study_name=plan.subject,
        direction="maximize",
        pruner=PRUNERS[plan.pruner](),
        load_if_exists=True,
    )
    asked = json.dumps(
        {**plan.asked, "space": spaces.described(space), "seed": plan.seed, "pruner": plan.pruner}, sort_keys=True
    )
    before = study.user_attrs.get(_ASKED)
    if before is None:
        study.set_user_attr(_ASKED, asked)
    elif before != asked:
        raise UsageError(
            f"{plan.storage} holds a search that was begun with {before}, asked for now: {asked}; give the same to go "
            "on, or another --storage"
        )
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):  # its process was killed
        _interrupt(study, trial.number)
    return study


def _storage(path: Path) -> optuna.storages.BaseStorage:
    """Raises UsageError where the file is something else."""
    try:
        if path.suffix in _SQLITE:
            return optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
        backend = JournalFileBackend(str(path))
        return optuna.storages.JournalStorage(backend)
    except Exception as error:  # both raise whatever their readers met
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UsageError(f"{path} is no search of ours ({why}); give another --storage") from error


def _go(study: optuna.Study, space: Space, objective: Objective, plan: Plan, progress: Progress) -> bool:
    started = time.monotonic()
    while (done := len(_counted(study))) < plan.trials:
        if plan.timeout_s is not None and time.monotonic() - started >= plan.timeout_s:
            return False
        progress(done, plan.trials)
        # A sampler of its own for each trial: what is drawn does not depend on which process drew the ones before.
        study.sampler = optuna.samplers.TPESampler(seed=plan.seed * 1_000_003 + done, n_startup_trials=STARTUP)
        if done == 0 and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(spaces.defaults(space))
        try:
            _try(study, done, space, objective)
        except KeyboardInterrupt:
            logger.warning("interrupted; %d trials are kept, the same command goes on", done)
            return False
    return True


def _try(study: optuna.Study, done: int, space: Space, objective: Objective) -> None:
    began = time.monotonic()
    trial = study.ask()
    attempt = Attempt(trial, done, spaces.draw(trial, space))
    state, why = TrialState.FAIL, ""
    value: float | None = None
    try:
        value = _number(objective(attempt))
        state = TrialState.COMPLETE
    except HopelessError as error:
        state, why = TrialState.PRUNED, str(error)
    except EdgemassError as error:
        if done == 0 and isinstance(error, (UsageError, ConfigError)):
            _interrupt(study, trial.number)
            raise
        why = str(error)
        logger.warning("trial %d failed: %s", done, why)
    except OSError as error:  # a full disk, a folder that went away: no matter of these settings
        _interrupt(study, trial.number)
        raise UsageError(f"trial {done} could not be made: {error}; what was done before is intact") from error
    except BaseException:
        _interrupt(study, trial.number)
        raise
    for key, note in {_NOTES: attempt.notes, _WHY: why, _SECONDS: round(time.monotonic() - began, 2)}.items():
        trial.set_user_attr(key, note)
    study.tell(trial, value, state=state)


def _number(value: float) -> float:
    """Raises TrialError where it is none."""
    if not math.isfinite(value):
        raise TrialError(f"it came out as {value}")
    return value


def _interrupt(study: optuna.Study, number: int) -> None:
    """Mark a trial that says nothing: it is made again."""
    study.set_user_attr(_INTERRUPTED, [*study.user_attrs.get(_INTERRUPTED, []), number])
    study.tell(number, state=TrialState.FAIL)


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """Finished trials, in order."""
    interrupted = study.user_attrs.get(_INTERRUPTED, [])
    trials = study.get_trials(deepcopy=False, states=tuple(_STATES))
    return [trial for trial in trials if trial.number not in interrupted]


def _rows(study: optuna.Study) -> tuple[Row, ...]:
    return tuple(
        Row(
            number=number,
            state=_STATES[trial.state],
            value=trial.value if trial.state == TrialState.COMPLETE else None,
            settings=dict(trial.params),
            notes=dict(trial.user_attrs.get(_NOTES, {})),
            seconds=float(trial.user_attrs.get(_SECONDS, 0.0)),
            why=str(trial.user_attrs.get(_WHY, "")),
        )
        for number, trial in enumerate(_counted(study))
    )


def _importance(study: optuna.Study) -> dict[str, float]:
    """PED-ANOVA (Watanabe et al., IJCAI 2023): by what the best trials differ from all of them."""
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    if len({trial.value for trial in done}) < 4:
        return {}
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(value) for name, value in found.items()}
