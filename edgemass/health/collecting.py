"""Asks every collector. None can end the process or hold it up: what fails is data, what hangs is left alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgemass import health
from edgemass.health import COLLECTORS, Place, Read
from edgemass.messages.health import Reading, System
from edgemass.redact import redact

logger = logging.getLogger(__name__)

DEADLINE_S = 2.0
"""For each. All of them together take less than 10 ms; a sensor on a slow bus some hundred."""
_LONGEST = 200


@dataclass(eq=False)
class _Asking:
    """One call of one collector, in a thread of its own."""

    reading: Reading | None = None
    error: str = ""
    done: threading.Event = field(default_factory=threading.Event)


class Collectors:
    """Those of a board. Used by one thread.

    table: name -> module, as COLLECTORS. A collector that hangs is not asked again before it has come back, so that at
    most one thread of each is lost.
    """

    def __init__(self, place: Place, table: Mapping[str, str] = COLLECTORS) -> None:
        self._place = place
        self._names = tuple(table)
        self._reads: dict[str, Read] = {}
        self._hanging: dict[str, _Asking] = {}
        self._said: dict[str, str] = {}

    def collect(self) -> System:
        """One reading of each."""
        readings: dict[str, Reading | None] = {}
        failed: dict[str, str] = {}
        took: dict[str, float] = {}
        for name in self._names:
            began_ns = self._place.clock.monotonic_ns()
            asking = self._ask(name)
            took[name] = round((self._place.clock.monotonic_ns() - began_ns) / 1e6, 3)
            if asking.error:
                failed[name] = asking.error
            else:
                readings[name] = asking.reading
            self._tell(name, asking.error)
        return System(**readings, failed=failed, collect_ms=took)  # type: ignore[arg-type]

    def _ask(self, name: str) -> _Asking:
        hanging = self._hanging.pop(name, None)
        if hanging is not None and not hanging.done.is_set():
            self._hanging[name] = hanging
            return _Asking(error="an earlier reading still hangs")
        asking = _Asking()
        thread = threading.Thread(target=self._read, args=(name, asking), name=f"collect-{name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads
            return _Asking(error=str(error))
        if not self._place.clock.wait(asking.done, DEADLINE_S):
            self._hanging[name] = asking
            return _Asking(error=f"no answer within {DEADLINE_S:g} s")
        return asking

    def _read(self, name: str, asking: _Asking) -> None:
        try:
            if name not in self._reads:
                self._reads[name] = health.load(name).open(self._place)
            asking.reading = self._reads[name]()
        except OSError as error:
            where = f"{error.filename}: " if error.filename is not None else ""
            asking.error = _told(f"{where}{error.strerror or error}")
        except ValueError as error:
            asking.error = _told(str(error))
        except Exception as error:  # the thread's outermost line
            logger.debug("a collector failed", extra={"collector": name}, exc_info=True)
            asking.error = _told(f"{type(error).__name__}: {error}")
        finally:
            asking.done.set()

    def _tell(self, name: str, error: str) -> None:
        """Trouble is logged when it starts and when it ends."""
        before = self._said.pop(name, "")
        if error:
            self._said[name] = error
        if bool(error) != bool(before):
            if error:
                logger.warning("the %s of the board cannot be read: %s", name, error)
            else:
                logger.info("the %s of the board can be read again", name)


def _told(text: str) -> str:
    return redact(" ".join(text.split()))[:_LONGEST] or "it failed without a word"
