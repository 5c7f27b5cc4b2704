"""The collections of a store that somebody sees: others look as if they were not there."""

from __future__ import annotations

from collections.abc import Callable

from rag.errors import CollectionNotFound
from rag.ports import Index, Store


class Visible:
    """rag.ports.Store; ``sees`` tells of a name whether it is one of them."""

    def __init__(self, store: Store, sees: Callable[[str], bool]) -> None:
        self._store, self._sees = store, sees

    def names(self) -> list[str]:
        return [name for name in self._store.names() if self._sees(name)]

    def open(self, collection: str, create: bool = False, *, any_embedder: bool = False) -> Index:
        self._check(collection)
        try:
            return self._store.open(collection, create, any_embedder=any_embedder)
        except CollectionNotFound:
            raise CollectionNotFound.of(collection, self.names()) from None

    def swap(self, collection: str, by: str) -> None:
        self._check(collection)
        self._store.swap(collection, by)

    def rename(self, collection: str, to: str) -> None:
        self._check(collection)
        self._check(to)
        self._store.rename(collection, to)

    def drop(self, collection: str) -> None:
        self._check(collection)
        self._store.drop(collection)

    def close(self) -> None:
        self._store.close()

    def _check(self, collection: str) -> None:
        if not self._sees(collection):
            raise CollectionNotFound.hidden(collection)
