"""What was read of documents lately: it costs a look at the index, and the same documents are read again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock

from rag.types import Document, Passage

Ordinals = tuple[int, int] | None  # first and last; None is the whole document


class Stretches:
    """Passages of revisions, the last that were read, ``most`` characters in all. Safe to use from threads."""

    def __init__(self, most: int = 16_000_000) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[tuple[str, str, Ordinals], tuple[Passage, ...]] = OrderedDict()
        self._lock = Lock()

    def get(self, document: Document, ordinals: Ordinals) -> list[Passage] | None:
        key = document.id, document.revision, ordinals
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return list(self._kept[key])

    def keep(self, document: Document, ordinals: Ordinals, passages: Sequence[Passage]) -> None:
        """Nothing where some are missing: the document was replaced while it was read."""
        first, last = ordinals or (0, document.passages - 1)
        if len(passages) != max(0, min(last, document.passages - 1) - max(first, 0) + 1):
            return
        with self._lock:
            self._size -= _size(self._kept.pop((document.id, document.revision, ordinals), ()))
            self._kept[document.id, document.revision, ordinals] = tuple(passages)
            self._size += _size(passages)
            while self._size > self._most:
                self._size -= _size(self._kept.popitem(last=False)[1])


def _size(passages: Sequence[Passage]) -> int:
    return sum(len(passage.text) for passage in passages)
