"""An index with the map of its code as one more document, which is read where it is named and found by no search."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence

from rag.code.map import CodeMap
from rag.code.outline import Outline
from rag.ports import Reader, Vectors
from rag.question import Filter
from rag.types import Candidate, Document, Passage

SCHEME = "code-map"
# Tokens of a map, by what there is for documents: about an eighth of it. Few sizes, since every prompt begins with it.
SIZES = (4096, 2048, 1024)
_SHARE = 8
_NAMESPACE = uuid.UUID("6f70656e-626f-5f6f-8b00-636f64656d61")


def map_id(collections: Sequence[str], budget: int) -> str | None:
    """Of the map that questions of these collections begin with; None where ``budget`` has no room for one."""
    size = next((size for size in SIZES if size * _SHARE <= budget), None)
    return _id(collections, size) if size else None


def _id(collections: Sequence[str], size: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\n".join((*collections, str(size)))))


class Mapped:
    """rag.ports.Reader. ``drawn`` gives the map of a size; ``tokenizer`` names whose tokens it counts."""

    def __init__(
        self, index: Reader, collections: Sequence[str], drawn: Callable[[int], CodeMap], tokenizer: str
    ) -> None:
        self._index, self._drawn, self._tokenizer = index, drawn, tokenizer
        self._collections = tuple(collections)
        self._sizes = {_id(collections, size): size for size in SIZES}

    def documents(self, ids: Sequence[str] | None = None) -> list[Document]:
        maps = [self._document(id_) for id_ in ids or () if id_ in self._sizes]
        return [*maps, *self._index.documents(ids)]

    def read(self, document_id: str, ordinals: tuple[int, int] | None = None) -> list[Passage]:
        if document_id not in self._sizes:
            return self._index.read(document_id, ordinals)
        document = self._document(document_id)
        text = self._drawn(self._sizes[document_id]).text
        return [Passage(document_id, document_id, document.revision, 0, 0, 1, text, document.tokens)]

    def candidates(
        self,
        text: str,
        vector: Vectors,
        limit: int,
        among: Filter | None = None,
        within: Sequence[str] | None = None,
    ) -> list[Candidate]:
        return self._index.candidates(text, vector, limit, among, within)

    def named(self, names: Sequence[str]) -> list[Document]:
        return self._index.named(names)

    def code(self) -> list[Document]:
        return self._index.code()

    def outlines(self, documents: Sequence[Document]) -> dict[str, Outline]:
        return self._index.outlines(documents)

    def dense(self, passages: Sequence[Passage]) -> dict[str, list[float]]:
        return self._index.dense(passages)

    def changes(self) -> tuple[object, ...]:
        return self._index.changes()

    def size(self, among: Filter | None = None) -> tuple[int, int]:
        return self._index.size(among)

    def _document(self, id_: str) -> Document:
        drawn = self._drawn(self._sizes[id_])
        hashed = hashlib.sha256(drawn.text.encode()).hexdigest()
        return Document(
            id=id_,
            collection=self._collections[0],
            source=f"{SCHEME}:///{'+'.join(self._collections)}",
            title="Map of the code",
            media_type="text/plain",
            content_hash=hashed,
            revision=hashed[:32],
            characters=len(drawn.text),
            tokens=drawn.tokens,
            passages=1,
            tokenizer=self._tokenizer,
        )
