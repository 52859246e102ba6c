"""How many examples a property is held against: a seeded sample in `make test`, the campaign in `make test-long`."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from edgemass.errors import EdgemassError

MAX_MESSAGE = 20_000
SMALLEST_CAMPAIGN = 1000
"""Fewer examples are a sample, the same ones in every run."""
SEED = "EDGEMASS_FUZZ_SEED"
"""Environment variable with the seed of a campaign that is to be repeated."""
EXAMPLES = "EDGEMASS_FUZZ_EXAMPLES"
"""Environment variable with a number of examples that is enough for every campaign of this run."""


def counts(sample: int, campaign: int) -> pytest.MarkDecorator:
    """Parametrise a test by `examples`: few and always the same ones, or many under a seed that is printed."""
    return pytest.mark.parametrize(
        "examples",
        [pytest.param(sample, id="sample"), pytest.param(campaign, id="campaign", marks=pytest.mark.slow)],
    )


def hold(promise: Callable[..., None], examples: int, **strategies: st.SearchStrategy[Any]) -> None:
    """Call `promise` with values of the strategies, by keyword, until it fails or `examples` are through."""
    sample = examples < SMALLEST_CAMPAIGN
    limited = settings(
        max_examples=examples if sample else min(examples, int(os.environ.get(EXAMPLES) or examples)),
        derandomize=sample,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    made = limited(given(**strategies)(promise))
    if not sample:
        number = int(os.environ.get(SEED) or random.randrange(2**32))
        print(f"{SEED}={number}")
        made = seed(number)(made)
    made()


@contextmanager
def may_refuse(*kinds: type[EdgemassError], naming: str = "") -> Iterator[None]:
    """What happens inside succeeds or raises one of our own errors, whose message is fit for a line."""
    try:
        yield
    except kinds as error:
        text = " ".join(str(error).split())
        check(naming in text, f"does not name {naming}: {text[:200]}")
        check(0 < len(text) < MAX_MESSAGE, f"a message of {len(text)} characters: {text[:200]}")


def check(condition: bool, otherwise: str) -> None:
    if not condition:
        pytest.fail(otherwise)
