"""Several collections as one to read from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from rag.code.outline import Outline
from rag.ports import Reader, Vectors
from rag.question import Filter
from rag.types import Candidate, Document, Passage

T = TypeVar("T")


class Several:
    """rag.ports.Reader over several of them, whose documents have ids that differ."""

    def __init__(self, indexes: Sequence[Reader]) -> None:
        self._indexes = indexes

    def candidates(
        self,
        text: str,
        vector: Vectors,
        limit: int,
        among: Filter | None = None,
        within: Sequence[str] | None = None,
    ) -> list[Candidate]:
        return self._all(lambda index: index.candidates(text, vector, limit, among, within))

    def named(self, names: Sequence[str]) -> list[Document]:
        return self._all(lambda index: index.named(names))

    def read(self, document_id: str, ordinals: tuple[int, int] | None = None) -> list[Passage]:
        return self._all(lambda index: index.read(document_id, ordinals))

    def documents(self, ids: Sequence[str] | None = None) -> list[Document]:
        return self._all(lambda index: index.documents(ids))

    def code(self) -> list[Document]:
        return self._all(lambda index: index.code())

    def outlines(self, documents: Sequence[Document]) -> dict[str, Outline]:
        return {id_: outline for index in self._indexes for id_, outline in index.outlines(documents).items()}

    def dense(self, passages: Sequence[Passage]) -> dict[str, list[float]]:
        return {id_: vector for index in self._indexes for id_, vector in index.dense(passages).items()}

    def changes(self) -> tuple[object, ...]:
        return tuple(index.changes() for index in self._indexes)

    def size(self, among: Filter | None = None) -> tuple[int, int]:
        sizes = [index.size(among) for index in self._indexes]
        return sum(documents for documents, _ in sizes), sum(passages for _, passages in sizes)

    def _all(self, of: Callable[[Reader], Iterable[T]]) -> list[T]:
        return [each for index in self._indexes for each in of(index)]
