"""Documents that were handed over to the broker, until it is known what became of each."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from edgemass.spool.records import Document


@dataclass
class _Flight:
    """outcome: "" delivered, else why it is dropped; None while nobody knows."""

    document: Document
    outcome: str | None = None


class Flights:
    """In the order in which they were handed over. They end in it too, so that one index tells what is settled."""

    def __init__(self) -> None:
        self._flying: dict[int, _Flight] = {}
        self._again: list[int] = []
        """Heap of those that came back and are to be handed over again."""

    def __len__(self) -> int:
        return len(self._flying)

    def __iter__(self) -> Iterator[Document]:
        return (flight.document for flight in self._flying.values())

    @property
    def out(self) -> int:
        """How many the broker has been given and has not answered."""
        return len(self._flying) - len(self._again)

    @property
    def first(self) -> Document | None:
        return next(iter(self), None)

    def add(self, document: Document) -> None:
        self._flying[document.index] = _Flight(document)

    def settle(self, index: int, outcome: str) -> list[tuple[Document, str]]:
        """One has its outcome; returns those that have ended by it, with theirs."""
        flight = self._flying.get(index)
        if flight is None or flight.outcome is not None:
            return []
        flight.outcome = outcome
        ended = []
        for first in list(self._flying.values()):
            if first.outcome is None:
                break
            ended.append((first.document, first.outcome))
            del self._flying[first.document.index]
        return ended

    def put_back(self, index: int) -> None:
        """One has not left after all."""
        if index in self._flying and self._flying[index].outcome is None:
            heapq.heappush(self._again, index)

    @property
    def returned(self) -> Document | None:
        """The first of those that came back."""
        return self._flying[self._again[0]].document if self._again else None

    def take_returned(self) -> Document:
        """It is handed over again; there must be one."""
        return self._flying[heapq.heappop(self._again)].document
