"""The code bases of a store, kept in memory as long as nothing changes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rag.code.codebase import Codebase
from rag.code.map import CodeMap, code_map
from rag.code.mapped import Mapped
from rag.code.outline import Outline
from rag.ports import Reader, Store, TokenCounter
from rag.reading import read

# Of fewer files a map tells little that a search does not find.
MAPPED_FILES = 8

_Revision = tuple[str, str]  # of a document: its id and its revision


@dataclass(frozen=True, slots=True)
class _Known:
    changes: object
    outlines: dict[_Revision, Outline]
    codebase: Codebase
    maps: dict[tuple[int, str], CodeMap] = field(default_factory=dict)  # by size and tokenizer


class Codebases:
    """Of one store. Safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._known: dict[tuple[str, ...], _Known] = {}

    def of(self, collections: Sequence[str]) -> Codebase:
        """Of these collections as they are now. Raises CollectionNotFound."""
        return read(self._store, collections, lambda index: self.of_index(index, collections))

    def of_index(self, index: Reader, collections: Sequence[str]) -> Codebase:
        """``index`` reads these collections."""
        return self._current(index, collections).codebase

    def mapped(self, index: Reader, collections: Sequence[str], tokens: TokenCounter) -> Reader:
        """``index`` with the map of its code, where there is enough of it, in as many ``tokens`` as it says."""
        known = self._current(index, collections)
        if len(known.codebase.documents) < MAPPED_FILES:
            return index
        return Mapped(index, collections, lambda size: self._drawn(known, size, tokens), tokens.name)

    def _current(self, index: Reader, collections: Sequence[str]) -> _Known:
        key, changes = tuple(collections), index.changes()
        with self._lock:
            known = self._known.get(key)
            if known is None or known.changes != changes:
                with _no_collection():
                    known = self._known[key] = self._made(index, changes)
            return known

    def _made(self, index: Reader, changes: object) -> _Known:
        documents = index.code()
        outlines: dict[_Revision, Outline] = {}
        for known in self._known.values():
            outlines |= known.outlines
        new = [each for each in documents if (each.id, each.revision) not in outlines]
        found = index.outlines(new)
        outlines |= {(each.id, each.revision): found[each.id] for each in new if each.id in found}
        of = {key: outlines[key] for each in documents if (key := (each.id, each.revision)) in outlines}
        return _Known(changes, of, Codebase(documents, {id_: outline for (id_, _), outline in of.items()}))

    def _drawn(self, known: _Known, size: int, tokens: TokenCounter) -> CodeMap:
        key = size, tokens.name
        with self._lock:
            if key not in known.maps:
                known.maps[key] = code_map(known.codebase, size, tokens.count)
            return known.maps[key]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hundreds of thousands of tuples are made that all stay: looking through them for garbage takes half the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
