"""A backend that may hang: all its calls run in a thread of its own, and waiting for them has an end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from edgemass.backends import Backend
from edgemass.clock import Clock
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray, Outputs

_T = TypeVar("_T")
CLOSE_S = 5.0


class Watched:
    """Loads and runs one backend under deadlines.

    After a deadline has passed the thread is left to itself: no further call is made, and should the late call come
    back, the thread frees the session and ends.
    """

    def __init__(self, name: str, opened: Callable[[], Backend], *, clock: Clock, load_s: float, run_s: float) -> None:
        """Load.

        Raises:
            BackendError: it cannot be loaded, or not within `load_s`.
        """
        self._name = name
        self._clock = clock
        self._run_s = run_s
        self._orders: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=2)
        """One to do, and the end."""
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"backend-{name}", daemon=True)
        self._loaded: Backend | None = None
        self._thread.start()
        try:
            self._call(lambda: self._load(opened), load_s, "load")
        except BackendError:
            self.close()
            raise

    @property
    def backend(self) -> Backend:
        """What was loaded; run it through `run`."""
        assert self._loaded is not None
        return self._loaded

    @property
    def hanging(self) -> bool:
        """A call passed its deadline and has not come back yet."""
        return self._given_up.is_set() and self._thread.is_alive()

    def run(self, inputs: Mapping[str, AnyArray], deadline_s: float | None = None) -> Outputs:
        """Run under a deadline; by default that of the construction.

        Raises:
            BackendError: the runtime failed, or did not answer in time.
        """
        return self._call(lambda: self.backend.run(inputs), deadline_s or self._run_s, "run")

    def close(self) -> None:
        """Free the session in its own thread. One that hangs is left to itself."""
        if not self._given_up.is_set():
            self._given_up.set()
            self._orders.put_nowait(None)
            self._thread.join(CLOSE_S)

    def _load(self, opened: Callable[[], Backend]) -> None:
        self._loaded = opened()

    def _call(self, work: Callable[[], _T], deadline_s: float, what: str) -> _T:
        if self._given_up.is_set():
            raise BackendError(f"{self._name} was given up")
        done = threading.Event()
        answer: list[_T] = []
        failure: list[Exception] = []

        def order() -> None:
            try:
                answer.append(work())
            except Exception as error:  # noqa: BLE001 (handed to the caller, who raises it)
                failure.append(error)
            finally:
                done.set()

        self._orders.put_nowait(order)
        if not self._clock.wait(done, deadline_s):
            self._given_up.set()
            self._orders.put_nowait(None)  # it may have come back just now, and wait for the next call
            raise BackendError(f"{self._name} hangs: no answer to {what} within {deadline_s:g} s")
        if failure:
            raise failure[0]
        return answer[0]

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            order()
            del order  # it holds the frame's tensors
            if self._given_up.is_set():
                break
        if self._loaded is not None:
            self._loaded.close()
