"""What a model reads beside its picture: further inputs, and the state that it carries on."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

MAX_ELEMENTS = 16 * 1024 * 1024  # of a state or constant: 64 MB as float32
MAX_RANK = 8
LIMITS: dict[str, tuple[float, float]] = {  # dtype of a state or further input -> the values that it holds
    "bool": (0, 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(2.0**31), 2.0**31 - 1),
    "int64": (-(2.0**63), 2.0**63 - 1024),  # the largest double below 2^63
    "float16": (-65504, 65504),
    "float32": (-3.4e38, 3.4e38),
    "float64": (-1.79e308, 1.79e308),
}


class AuxiliaryInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A further input that is no picture and no state.

    role: `frame-size-wh`/`frame-size-hw`: size of the original frame in pixels; `input-size-wh`/`input-size-hw`: of the
        model's picture; `scale-factor-yx`: resize factor (height, width); `constant`: `value` every time.
    """

    name: str
    role: Literal["frame-size-wh", "frame-size-hw", "input-size-wh", "input-size-hw", "scale-factor-yx", "constant"]
    dtype: str = "int64"
    shape: tuple[int, ...] = (1, 2)
    value: float = 0.0


class StateTensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor that a camera's stream carries from one run to the next; its first value is `initial` everywhere.

    Frames follow each other in it, unless one frame takes several runs (see InputSpec): then each begins anew.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    dtype: str
    initial: float = 0.0


def check_auxiliary(item: AuxiliaryInput) -> None:
    check_tensor(f"auxiliary input {item.name}", item.dtype, item.shape, item.value)
    if item.role == "constant":
        return
    if math.prod(item.shape) != 2:
        raise ValueError(f"auxiliary input {item.name} has shape {list(item.shape)}, {item.role} is two numbers")
    if item.dtype in ("bool", "int8", "uint8"):
        raise ValueError(f"auxiliary input {item.name} is {item.dtype}, which has no room for {item.role}")


def check_tensor(what: str, dtype: str, shape: tuple[int, ...], value: float) -> None:
    """An input that is made before the model runs: its size in memory, and that its value can be stored."""
    if dtype not in LIMITS:
        raise ValueError(f"{what} is {dtype!r}, known are {', '.join(LIMITS)}")
    if not all(1 <= side <= MAX_ELEMENTS for side in shape) or math.prod(shape) > MAX_ELEMENTS or len(shape) > MAX_RANK:
        raise ValueError(
            f"{what} has shape {list(shape[:MAX_RANK])}, wanted sides from 1, at most {MAX_ELEMENTS} in all"
        )
    low, high = LIMITS[dtype]
    if not low <= value <= high:
        raise ValueError(f"{what} begins with {value}, {dtype} holds {low:g} to {high:g}")
