"""What every test may use."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from edgemass import cache

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's is read or written; what one test made, the next one may find, as on a device."""
    place = tmp_path_factory.mktemp("cache")
    state = os.environ.get("XDG_STATE_HOME")
    os.environ["EDGEMASS_CACHE"] = str(place)  # for the processes that tests start
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    cache.use(place)
    yield
    del os.environ["EDGEMASS_CACHE"]
    os.environ.pop("XDG_STATE_HOME")
    if state is not None:
        os.environ["XDG_STATE_HOME"] = state


@pytest.fixture(scope="module", autouse=True)
def _logging_as_it_was_before_the_module() -> Iterator[None]:
    """As `_logging_as_it_was`, for what fixtures of a module call."""
    with _logging_restored():
        yield


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command line points logging at a test's own standard error, which is closed when that test is over."""
    with _logging_restored():
        yield


@contextlib.contextmanager
def _logging_restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("edgemass")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real models, pictures and videos; never part of the repository.

    Without it a test skips and says so; under CI its absence is a failure, so that nothing is left out unseen.
    """
    folder = Path(os.environ.get("EDGEMASS_ASSETS", REPOSITORY.parent / "shared" / "assets")).resolve()
    if folder.is_dir():
        return folder
    reason = f"no model and picture files in {folder}: set EDGEMASS_ASSETS to their folder"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
