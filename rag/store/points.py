"""What both stores have in common below the level of documents: points, filters and the payload's layout.

Four kinds of point live in one Qdrant collection: ``meta`` (one: the fingerprint), ``document`` (the catalog),
``outline`` (of a document that is code) and ``passage``, which alone has vectors. Keeping the catalog beside the
passages leaves nothing that could disagree.
"""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rag import links
from rag.code.outline import Outline, dump, load
from rag.errors import BadName, DataTooNew, FingerprintMismatch
from rag.types import Document, Passage

DENSE, SPARSE = "dense", "bm25"
KEYWORD_FIELDS = ("kind", "state", "document_id", "revision", "section", "language", "names", "code")
INTEGER_FIELDS = ("ordinal",)
META_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "openbook:meta"))
FORMAT = 1  # of the payload; raised when older collections can no longer be read

Payload = dict[str, Any]
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Sparse:
    indices: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Point:
    id: str
    payload: Payload
    dense: list[float] | None = None
    sparse: Sparse | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """Payload fields that must equal, and must not equal, a value, or must equal one of several; the first and last
    ordinal; and the points themselves, by id."""

    must: Mapping[str, str] = field(default_factory=dict)
    must_not: Mapping[str, str] = field(default_factory=dict)
    ordinals: tuple[int, int] | None = None
    one_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ids: Sequence[str] | None = None


class Points(Protocol):
    """The operations of one Qdrant collection that openbook uses; each is atomic and visible on return."""

    def upsert(self, points: Sequence[Point]) -> None: ...
    def assign(self, where: Where, payload: Payload) -> None: ...
    def delete(self, where: Where) -> None: ...
    def get(self, ids: Sequence[str]) -> list[Payload]: ...
    def dense(self, ids: Sequence[str]) -> dict[str, list[float]]: ...
    def scroll(self, where: Where) -> Iterator[Payload]: ...
    def count(self, where: Where) -> int: ...

    def nearest(
        self, query: list[float] | Sparse, where: Where, limit: int
    ) -> list[tuple[str, Payload, float]]:
        """Id, payload and score of the points that are nearest to a dense vector by cosine, or to a sparse one by
        BM25, best first; of the latter those alone that have a word of it."""
        ...

    def values(self, field: str, where: Where) -> list[str]:
        """The different values of a payload field."""
        ...

    def flush(self) -> None:
        """Returns when all updates before it survive a crash."""
        ...


def check_name(collection: str) -> str:
    """Names become folders and Qdrant collections, on file systems that may ignore case."""
    if not _NAME.fullmatch(collection) or ".." in collection:
        raise BadName(
            f"{collection!r} cannot name a collection.",
            "Use 1 to 63 lower-case letters, digits, '-', '_' or '.', beginning and ending with a letter or digit.",
        )
    return collection


def fingerprint_payload(embedder: str, dimension: int) -> Payload:
    return {"kind": "meta", "format": FORMAT, "embedder": embedder, "dimension": dimension}


def check_fingerprint(collection: str, stored: Payload, ours: Payload) -> None:
    if stored["format"] > FORMAT:
        raise DataTooNew.of(f"Collection {collection!r}", stored["format"], "", FORMAT)
    if stored != ours:
        raise FingerprintMismatch.of(collection, _describe(stored), _describe(ours))


def _describe(fingerprint: Payload) -> str:
    return (
        f"{fingerprint['embedder']} ({fingerprint['dimension']} dimensions, format {fingerprint['format']})"
    )


def document_payload(document: Document, *, dirty: bool) -> Payload:
    payload = dataclasses.asdict(document)
    payload["document_id"] = payload.pop("id")
    payload["names"] = links.names(document)
    return {"kind": "document", "state": "dirty" if dirty else "clean", **payload}


def to_document(payload: Payload) -> Document:
    fields = {k: v for k, v in payload.items() if k not in ("kind", "state", "document_id", "names")}
    return Document(id=payload["document_id"], **fields)


def passage_payload(passage: Passage, *, live: bool) -> Payload:
    payload = dataclasses.asdict(passage)
    payload["passage_id"] = payload.pop("id")
    payload["section"] = list(passage.section)
    return {"kind": "passage", "state": "live" if live else "hidden", **payload}


def to_passage(payload: Payload) -> Passage:
    fields = {k: v for k, v in payload.items() if k not in ("kind", "state", "passage_id", "section")}
    return Passage(id=payload["passage_id"], section=tuple(payload["section"]), **fields)


def outline_id(document: Document) -> str:
    """Each revision has one of its own."""
    return str(uuid.uuid5(uuid.UUID(document.id), f"outline\n{document.revision}"))


def outline_payload(document: Document, outline: Outline) -> Payload:
    of = {"document_id": document.id, "revision": document.revision}
    return {"kind": "outline", **of, "outline": dump(outline)}


def to_outline(payload: Payload) -> tuple[str, Outline]:
    """With the id of its document."""
    return payload["document_id"], load(payload["outline"])
