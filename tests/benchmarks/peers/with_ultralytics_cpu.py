"""Ultralytics on a CPU build of PyTorch, for start-up and memory.

Its torchvision has no CPU build there, so that an empty module takes its place: what is measured is a little less than
a user would meet.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.benchmarks.peers.worker import Contender, Setup


def open(setup: Setup) -> Contender:  # noqa: A001 (as the worker calls it)
    sys.modules["torchvision"] = types.ModuleType("torchvision")
    contender: Contender = importlib.import_module("with_ultralytics").open(setup)
    return contender
