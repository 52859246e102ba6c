"""The sinks of one camera: what one cannot take costs that one document, and is logged when it starts and ends."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edgemass.counters import Counters
from edgemass.errors import SinkClosedError, SinkError
from edgemass.sinks import Sink

logger = logging.getLogger(__name__)


class Outlets:
    """Hands documents to every sink that still takes them. Used by one thread at a time."""

    def __init__(self, camera: str, sinks: Sequence[Sink], counters: Counters) -> None:
        self._camera = camera
        self._sinks = list(sinks)
        self._silent = not self._sinks
        self._counters = counters
        self._failing: set[str] = set()

    @property
    def heard(self) -> bool:
        """Whether any sink still takes documents; where there never was one, nobody has closed it."""
        return bool(self._sinks) or self._silent

    def hand(self, give: Callable[[Sink], None]) -> None:
        """Call `give` with every sink; one that is closed for good is left out from then on."""
        for sink in tuple(self._sinks):
            self._give(sink, give)

    def _give(self, sink: Sink, give: Callable[[Sink], None]) -> None:
        try:
            give(sink)
        except SinkClosedError as error:
            logger.info("%s is closed: %s", sink.name, error, extra={"camera": self._camera})
            self._sinks.remove(sink)
            return
        except SinkError as error:
            self._counters.add(f"sink_failed.{sink.name}")
            if sink.name not in self._failing:
                self._failing.add(sink.name)
                logger.warning("%s loses documents: %s", sink.name, error, extra={"camera": self._camera})
            return
        if sink.name in self._failing:
            self._failing.discard(sink.name)
            logger.info("%s takes documents again", sink.name, extra={"camera": self._camera})
