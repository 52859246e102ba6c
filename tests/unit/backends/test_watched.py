"""Calls to a runtime that may hang."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import final

import pytest

from edgemass.backends.watched import Watched
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray, Outputs, TensorInfo
from tests.simulators.broker import wait_until


@final
class Quick:
    """A backend that answers at once."""

    name = requested = "quick/npu"
    version = "1"
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()

    def __init__(self) -> None:
        self.closed = threading.Event()

    def run(self, _: Mapping[str, AnyArray]) -> Outputs:
        return {}

    def close(self) -> None:
        self.closed.set()


@final
class LateByAHair:
    """A clock by which, once told so, the answer comes just after the deadline."""

    late = False

    def monotonic_ns(self) -> int:
        return 0

    def time_ns(self) -> int:
        return 0

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s) and not self.late


def test_a_call_that_comes_back_at_its_deadline_leaves_no_thread_behind() -> None:
    backend, clock = Quick(), LateByAHair()
    watched = Watched("quick/npu", lambda: backend, clock=clock, load_s=10, run_s=10)
    clock.late = True
    with pytest.raises(BackendError, match="hangs: no answer to run within 10 s"):
        watched.run({})
    wait_until(lambda: not watched.hanging, "its thread has ended")
    assert backend.closed.is_set()
