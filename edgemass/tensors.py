"""What a runtime says of one tensor, and integers that stand for real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
AnyArray = NDArray[Any]


@dataclass(frozen=True)
class Quantization:
    """real = (integer - zero_point) * scale, for a whole tensor."""

    scale: float
    zero_point: int

    def to_real(self, integers: AnyArray) -> FloatArray:
        real = integers.astype(np.float32)
        real -= np.float32(self.zero_point)
        real *= np.float32(self.scale)
        return real


@dataclass(frozen=True)
class TensorInfo:
    """One input or output as the runtime reports it.

    shape: None stands for a dimension that is free until the run.
    dtype: a NumPy dtype name: "float32", "uint8", "int8", "int64", ...
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output of a run: the runtime's own array and, for integer outputs, how to read it.

    Families compare in the stored domain and convert only what passes: `above` and `take` do that for both kinds.
    """

    data: AnyArray
    quantization: Quantization | None = None

    def real(self) -> FloatArray:
        """The whole tensor as float32."""
        if self.quantization is None:
            return self.data if self.data.dtype == np.float32 else self.data.astype(np.float32)
        return self.quantization.to_real(self.data)

    def reshape(self, *shape: int) -> Tensor:
        return Tensor(self.data.reshape(shape), self.quantization)

    def with_data(self, data: AnyArray) -> Tensor:
        """The same numbers' meaning over other data (a view, a slice, a transposition)."""
        return Tensor(data, self.quantization)

    def stored(self, real: float) -> float:
        """The stored value that stands for `real`: compare integers with it without converting them.

        For a quantized tensor the result is not rounded: `stored_value > stored(real)` is exactly `value > real`.
        """
        if self.quantization is None:
            return real
        return real / self.quantization.scale + self.quantization.zero_point


Outputs = Mapping[str, Tensor]
"""Outputs of a run by tensor name."""
