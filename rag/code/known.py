"""The code bases of a store: those asked about last are kept in memory, each as long as nothing in it changes."""

from __future__ import annotations

import copy
import gc
import threading
from collections import OrderedDict
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

# Code bases in memory, of which the least recently used makes room; a large one takes hundreds of MB.
KEPT = 16

_Revision = tuple[str, str]  # of a document: its id and its revision


@dataclass(frozen=True, slots=True)
class _Known:
    """``drawing`` is held by who draws a map of it."""

    changes: object
    outlines: dict[_Revision, Outline]
    codebase: Codebase
    maps: dict[tuple[int, str], CodeMap] = field(default_factory=dict)  # by size and tokenizer
    drawing: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Place:
    """Of one code base; ``making`` is held by who reads it, so that others wait for what it reads and nothing else."""

    making: threading.Lock = field(default_factory=threading.Lock)
    known: _Known | None = None


class Codebases:
    """Of one store. Safe to use from threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()  # of the places, for an instant
        self._places: OrderedDict[tuple[str, ...], _Place] = OrderedDict()

    def through(self, store: Store) -> Codebases:
        """The same ones, as far as ``store``, which shows some of the collections, has them."""
        seen = copy.copy(self)
        seen._store = store
        return seen

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
        return Mapped(index, collections, lambda size: _drawn(known, size, tokens), tokens.name)

    def _current(self, index: Reader, collections: Sequence[str]) -> _Known:
        changes, place = index.changes(), self._place(tuple(collections))
        with place.making:
            if place.known is None or place.known.changes != changes:
                with _no_collection():
                    place.known = _made(index, changes, self._outlines())
            return place.known

    def _place(self, collections: tuple[str, ...]) -> _Place:
        with self._lock:
            place = self._places.setdefault(collections, _Place())
            self._places.move_to_end(collections)
            if len(self._places) > KEPT:
                self._places.popitem(last=False)
            return place

    def _outlines(self) -> dict[_Revision, Outline]:
        """All that are known: a document of several code bases has one."""
        with self._lock:
            known = [place.known for place in self._places.values() if place.known]
        return {revision: outline for each in known for revision, outline in each.outlines.items()}


def _made(index: Reader, changes: object, outlines: dict[_Revision, Outline]) -> _Known:
    documents = index.code()
    new = [each for each in documents if (each.id, each.revision) not in outlines]
    found = index.outlines(new)
    outlines |= {(each.id, each.revision): found[each.id] for each in new if each.id in found}
    of = {key: outlines[key] for each in documents if (key := (each.id, each.revision)) in outlines}
    return _Known(changes, of, Codebase(documents, {id_: outline for (id_, _), outline in of.items()}))


def _drawn(known: _Known, size: int, tokens: TokenCounter) -> CodeMap:
    key = size, tokens.name
    with known.drawing:
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
