"""Numbers of an accelerator beside those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.backends import agreement
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray, Quantization, Tensor

RNG = np.random.default_rng(1)
SCORES = RNG.normal(size=(1, 84, 2100)).astype(np.float32)


def check(found: AnyArray, wanted: AnyArray = SCORES, *, unordered: bool = False) -> None:
    agreement.check("litert/npu", {"out": Tensor(found)}, {"out": Tensor(wanted)}, quantized=False, unordered=unordered)


@pytest.mark.parametrize("found", [SCORES, SCORES.astype(np.float16), SCORES * 1.01 + 0.01])
def test_rounding_is_no_error(found: AnyArray) -> None:
    check(found)


@pytest.mark.parametrize(
    "found",
    [
        np.zeros_like(SCORES),
        SCORES + 1.5,
        SCORES * 2,
        -SCORES,
        RNG.permutation(SCORES.ravel()).reshape(SCORES.shape),
        SCORES[..., :7],
        np.where(SCORES > 3, np.nan, SCORES),
    ],
    ids=["zeros", "shifted", "scaled", "negated", "shuffled", "cut", "nan"],
)
def test_wrong_numbers_are_refused_with_the_output_and_how_far_off_it_is(found: AnyArray) -> None:
    with pytest.raises(
        BackendError, match=r"^litert/npu gives wrong numbers: output out differs .* wanted at most 0\.1"
    ):
        check(found)


def test_an_output_that_is_missing_is_wrong() -> None:
    with pytest.raises(BackendError, match="no output out"):
        agreement.check("x/y", {}, {"out": Tensor(SCORES)}, quantized=False, unordered=False)


def test_rows_that_the_graph_sorted_may_change_places_but_not_their_numbers() -> None:
    rows = np.sort(RNG.uniform(0, 300, (1, 100, 6)).astype(np.float32), axis=1)
    moved = rows[:, RNG.permutation(100)]
    check(moved, rows, unordered=True)
    with pytest.raises(BackendError, match="wrong numbers"):
        check(rows * 2, rows, unordered=True)
    with pytest.raises(BackendError, match="wrong numbers"):
        check(moved, rows)


def test_a_constant_quantized_output_may_differ_by_its_last_digit_only() -> None:
    meaning = Quantization(1 / 256, -128)
    wanted = Tensor(np.full((1, 100), -128, np.int8), meaning)
    near, far = (Tensor(np.full((1, 100), value, np.int8), meaning) for value in (-127, 100))
    assert agreement.difference(near, wanted) <= 1
    assert agreement.difference(far, wanted) > 100


def test_what_is_kept_outlives_the_next_run() -> None:
    memory = np.ones(3, np.float32)
    kept = agreement.keep({"out": Tensor(memory)})
    memory[:] = 7
    assert kept["out"].data.tolist() == [1, 1, 1]
