"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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
