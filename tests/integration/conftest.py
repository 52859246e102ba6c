"""Programs that integration tests stand on."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulators import broker as brokers
from tests.simulators import prometheus, registry, rtsp_server, traced
from tests.simulators.broker import Broker

NEEDED: dict[str, Callable[[], str]] = {  # marker -> why that program is not here, "" where there is
    "broker": brokers.missing,
    "prometheus": prometheus.missing,
    "registry": registry.missing,
    "rtsp": functools.cache(rtsp_server.missing),  # these two start a process to find out
    "strace": functools.cache(traced.missing),
}


def require(reason: str) -> None:
    """Skip where something is missing; under CI nothing may be, so that no test is left out unseen."""
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: what a test's markers name has to be here."""
    for marker, missing in NEEDED.items():
        if item.get_closest_marker(marker) is not None:
            require(missing())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as started:
        yield started
