"""Documents in memory, first in, first out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from edgemass.spool.records import Document


class Row:
    """size_bytes: memory that it takes, about."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._documents: deque[Document] = deque()

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[Document]:
        return iter(self._documents)

    @property
    def first(self) -> Document | None:
        return self._documents[0] if self._documents else None

    def add(self, document: Document) -> None:
        self._documents.append(document)
        self.size_bytes += _cost(document)

    def pop(self) -> Document:
        """Take the first one out; there must be one."""
        document = self._documents.popleft()
        self.size_bytes -= _cost(document)
        return document

    def take_out(self, which: Callable[[Document], bool]) -> list[Document]:
        """Those of which this is true; the others stay."""
        taken = [document for document in self._documents if which(document)]
        self._documents = deque(document for document in self._documents if not which(document))
        self.size_bytes -= sum(map(_cost, taken))
        return taken

    def clear(self) -> None:
        self._documents.clear()
        self.size_bytes = 0


def _cost(document: Document) -> int:
    """Bytes of memory, about."""
    return len(document.payload) + 400
