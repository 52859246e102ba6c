"""Whether an accelerator computes what the CPU computes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgemass.errors import BackendError
from edgemass.tensors import AnyArray, Outputs, Tensor

# Share of an output's spread by which it may differ on average; measured with tests/benchmarks/agreement.py
FLOAT_TOLERANCE = 0.1
QUANTIZED_TOLERANCE = 0.3
_QUANTILES = np.linspace(0, 1, 21)
_FEW_ROWS = 10


def keep(outputs: Outputs) -> dict[str, Tensor]:
    """A copy that outlives the next run."""
    return {name: Tensor(tensor.data.copy(), tensor.quantization) for name, tensor in outputs.items()}


def check(name: str, found: Outputs, wanted: Outputs, *, quantized: bool, unordered: bool) -> None:
    """Compare one run of an accelerator with the CPU's on the same input.

    unordered: the graph sorts its answer by score, so that a last digit may move whole rows; the distribution of each
        column is compared instead.

    Raises:
        BackendError: an output differs by more than the tolerance, or is not finite.
    """
    tolerance = QUANTIZED_TOLERANCE if quantized else FLOAT_TOLERANCE
    for output, reference in wanted.items():
        if output not in found:
            raise BackendError(f"{name} gives wrong numbers: it has no output {output}")
        off = difference(found[output], reference, unordered=unordered)
        if not off <= tolerance:
            raise BackendError(
                f"{name} gives wrong numbers: output {output} differs from the CPU's by {off:.2g} of its spread, "
                f"wanted at most {tolerance}"
            )


def difference(found: Tensor, wanted: Tensor, *, unordered: bool = False) -> float:
    """Mean absolute difference over the reference's mean absolute deviation; infinite for another shape or NaN.

    A step of a quantized output counts as spread, so that a constant output may differ by its last digit.
    """
    ours, reference = found.real().astype(np.float64), wanted.real().astype(np.float64)
    if unordered:
        if min(_rows(ours), _rows(reference)) < _FEW_ROWS:
            return 0.0 if bool(np.isfinite(ours).all()) else float("inf")
        ours, reference = _columns(ours), _columns(reference)
    if ours.shape != reference.shape:
        return float("inf")
    if not reference.size:
        return 0.0
    finite = np.isfinite(reference)
    if not np.array_equal(np.isfinite(ours), finite):
        return float("inf")
    ours, reference = ours[finite], reference[finite]
    spread = float(np.abs(reference - reference.mean()).mean()) if reference.size else 0.0
    step = max((tensor.quantization.scale for tensor in (found, wanted) if tensor.quantization), default=0.0)
    floor = 1e-3 * float(np.abs(reference).max(initial=0.0)) + 1e-6
    return float(np.abs(ours - reference).mean()) / (spread + step + floor) if reference.size else 0.0


def _rows(array: AnyArray) -> int:
    return array.size // array.shape[-1] if array.ndim and array.shape[-1] else array.size


def _columns(array: AnyArray) -> AnyArray:
    """Quantiles of every column."""
    return np.quantile(array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1), _QUANTILES, axis=0)


def is_quantized(outputs: Outputs, inputs: Mapping[str, AnyArray]) -> bool:
    """Whether small integers go in or come out: then each layer rounds its sums, and each engine in its own way."""
    return any(tensor.quantization for tensor in outputs.values()) or any(
        array.dtype == np.int8 for array in inputs.values()
    )
