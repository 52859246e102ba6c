"""Fixtures of the emulated boards: what is missing skips with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boards import roots


@pytest.fixture(scope="session")
def board_root() -> Callable[[Callable[[], Path], str], Path]:
    """`board_root(roots.arm64, missing)` -> the finished root; skips when `missing` says why there can be none."""

    def get(build: Callable[[], Path], missing: str) -> Path:
        if missing:
            pytest.skip(missing)
        try:
            return build()
        except roots.UnavailableError as error:
            pytest.skip(f"the board's root cannot be fetched: {error}")

    return get
