"""How many examples a property is held against: a seeded sample in `make test`, the campaign in `make test-long`."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

SEED = "EDGEMASS_FUZZ_SEED"
"""Environment variable with the seed of a campaign that is to be repeated."""


def counts(sample: int, campaign: int) -> pytest.MarkDecorator:
    """Parametrise a test by `examples`: few and always the same ones, or many under a seed that is printed."""
    return pytest.mark.parametrize(
        "examples",
        [pytest.param(sample, id="sample"), pytest.param(campaign, id="campaign", marks=pytest.mark.slow)],
    )


def hold(promise: Callable[..., None], examples: int, *, sample: int = 0, **strategies: st.SearchStrategy[Any]) -> None:
    """Call `promise` with values of the strategies, by keyword, until it fails or `examples` are through.

    sample: up to so many examples are the same ones in every run (0: those that `counts` calls a sample, below 1000).
    """
    repeatable = examples <= (sample or 999)
    made = settings(
        max_examples=examples,
        derandomize=repeatable,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )(given(**strategies)(promise))
    if not repeatable:
        number = int(os.environ.get(SEED) or random.randrange(2**32))
        print(f"{SEED}={number}")
        made = seed(number)(made)
    made()
