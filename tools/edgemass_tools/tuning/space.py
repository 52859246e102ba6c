"""What may be changed, between which bounds, and what it is where nobody searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgemass.errors import UsageError

if TYPE_CHECKING:
    import optuna

Value = float | int | str
Settings = Mapping[str, Value]


@dataclass(frozen=True)
class Parameter:
    """default: of the first trial. low, high: of a number, both included; log: drawn by its order of magnitude.

    choices: instead of bounds. An integer where the default is one.
    """

    default: Value
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Value, ...] = ()


Space = Mapping[str, Parameter]


def defaults(space: Space) -> dict[str, Value]:
    return {name: parameter.default for name, parameter in space.items()}


def only(space: Space, names: Sequence[str]) -> dict[str, Parameter]:
    """Those that were asked for; all where none was.

    Raises:
        UsageError: a name that there is not.
    """
    unknown = [name for name in names if name not in space]
    if unknown:
        raise UsageError(f"--over: {', '.join(unknown)} cannot be searched; what can is {', '.join(space)}")
    return {name: parameter for name, parameter in space.items() if not names or name in names}


def holding_defaults(space: Space) -> dict[str, Parameter]:
    """With bounds and choices that hold the defaults, which the first trial needs."""
    return {name: _holding(parameter) for name, parameter in space.items()}


def _holding(parameter: Parameter) -> Parameter:
    value = parameter.default
    if parameter.choices:
        choices = parameter.choices if value in parameter.choices else (value, *parameter.choices)
        return replace(parameter, choices=choices)
    if isinstance(value, str):
        raise UsageError(f"{value!r} is no number")
    return replace(parameter, low=min(parameter.low, value), high=max(parameter.high, value))


def draw(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """The settings of one trial, as the sampler suggests them."""
    return {name: _drawn(trial, name, parameter) for name, parameter in space.items()}


def _drawn(trial: optuna.Trial, name: str, parameter: Parameter) -> Value:
    if parameter.choices:
        chosen = trial.suggest_categorical(name, parameter.choices)
        assert chosen is not None
        return chosen
    if isinstance(parameter.default, int):
        return trial.suggest_int(name, int(parameter.low), int(parameter.high), log=parameter.log)
    return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)


def described(space: Space) -> dict[str, Any]:
    """As it is kept, to see whether a search goes on with the same one."""
    return {name: [item.default, *(item.choices or (item.low, item.high, item.log))] for name, item in space.items()}
