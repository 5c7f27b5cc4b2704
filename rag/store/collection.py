"""One collection over Qdrant points: search, the catalog, and replacement by write, then swap.

A document's catalog record names its one visible revision. Passages are written hidden, made live, and become
visible at the single point update that puts the new revision into the record; only then are the old passages
deleted. A search drops live passages whose revision is not the record's, so at every moment, also after a crash
between any two steps, exactly one whole revision can be seen. A record is ``dirty`` from the first step to the
last; what a crash left behind is found by that and removed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from rag import filters, language
from rag.code.outline import Outline
from rag.indexed import parted, sparse_text
from rag.ports import Vectors, Write
from rag.question import Filter
from rag.store.points import (
    Payload,
    Point,
    Points,
    Sparse,
    Where,
    document_payload,
    outline_id,
    outline_payload,
    passage_payload,
    to_document,
    to_outline,
    to_passage,
)
from rag.store.stretches import Stretches
from rag.types import Candidate, Document, Passage

log = logging.getLogger(__name__)

BATCH = 256  # points per update: bounds the memory and the size of a request
MIN_CANDIDATES = 50  # of each kind
_CONTENT = ("passage", "outline")
_LIVE = Where({"kind": "passage", "state": "live"})


class Writes:
    """To one collection, by this process, however often it is opened."""

    def __init__(self) -> None:
        self.of, self.count = uuid.uuid4().hex, 0


class Collection:
    """``exclusive``: no other process writes here, so what a crash left can be removed on opening, and what was read
    of a revision be kept."""

    def __init__(self, name: str, points: Points, *, exclusive: bool, writes: Writes | None = None) -> None:
        self.name = name
        self._points = points
        self._writes = writes or Writes()
        self._stretches = Stretches() if exclusive else None
        if exclusive:
            self._repair()

    def candidates(
        self,
        text: str,
        vector: Vectors,
        limit: int,
        among: Filter | None = None,
        within: Sequence[str] | None = None,
    ) -> list[Candidate]:
        where = self._where(among) if among else _LIVE
        if where and within is not None:
            where = replace(where, one_of={**where.one_of, "document_id": within}) if within else None
        dense, sparse = vector.tolist(), self._words(text)
        # The engine orders equal scores at random: a cut between them should lie where it matters little.
        depth = max(limit, MIN_CANDIDATES)
        near = self._points.nearest(dense, where, depth) if where else []
        worded = self._points.nearest(sparse, where, depth) if where and sparse.indices else []
        payloads = {id_: payload for id_, payload, _ in (*near, *worded)}
        # What one of the two found is scored by the other too: to be absent from a list is no score.
        cosines = self._scored(near, dense, payloads)
        weights = self._scored(worded, sparse, payloads)
        passages = {id_: to_passage(payload) for id_, payload in payloads.items()}
        records = {d.id: d for d in self.documents(sorted({p.document_id for p in passages.values()}))}
        found = [
            Candidate(records[passage.document_id], passage, cosines[id_], weights.get(id_, 0.0))
            for id_, passage in passages.items()
            if id_ in cosines  # one that an ingest has replaced since it was found has none any more
            and passage.document_id in records
            and passage.revision == records[passage.document_id].revision
        ]
        return sorted(found, key=lambda each: (each.document.source, each.passage.ordinal))

    def _scored(
        self,
        found: Sequence[tuple[str, Payload, float]],
        query: list[float] | Sparse,
        payloads: Mapping[str, Payload],
    ) -> dict[str, float]:
        scores = {id_: score for id_, _, score in found}
        rest = [id_ for id_ in payloads if id_ not in scores]
        if rest and not (isinstance(query, Sparse) and not query.indices):
            scores |= {id_: s for id_, _, s in self._points.nearest(query, Where(ids=rest), len(rest))}
        return scores

    def _where(self, among: Filter) -> Where | None:
        """None where nothing can match. Globs are compared here, with the catalog and with the headings that there
        are, so that the engine can look up exact values."""
        one_of: dict[str, Sequence[str]] = {}
        if among.of_documents:
            one_of["document_id"] = [d.id for d in self.documents() if filters.admits(among, d)]
        if among.headings:
            headings = self._points.values("section", _LIVE)
            one_of["section"] = [heading for heading in headings if filters.names(among, heading)]
        return replace(_LIVE, one_of=one_of) if all(one_of.values()) else None

    def read(self, document_id: str, ordinals: tuple[int, int] | None = None) -> list[Passage]:
        records = self.documents([document_id])
        if not records:
            return []
        (document,) = records
        if self._stretches and (kept := self._stretches.get(document, ordinals)) is not None:
            return kept
        visible = {"kind": "passage", "document_id": document_id, "revision": document.revision}
        found = self._points.scroll(Where(visible, ordinals=ordinals))
        passages = sorted(map(to_passage, found), key=lambda p: p.ordinal)
        if self._stretches:
            self._stretches.keep(document, ordinals, passages)
        return passages

    def dense(self, passages: Sequence[Passage]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for at in range(0, len(passages), BATCH):
            found |= self._points.dense([passage.id for passage in passages[at : at + BATCH]])
        return found

    def vectors(self, passages: Sequence[Passage]) -> Vectors:
        found = self.dense(passages)
        return np.asarray([found[passage.id] for passage in passages], dtype=np.float32)

    def named(self, names: Sequence[str]) -> list[Document]:
        found = self._points.scroll(Where({"kind": "document"}, one_of={"names": names})) if names else []
        return self._visible(found)

    def documents(self, ids: Sequence[str] | None = None) -> list[Document]:
        return self._visible(
            self._points.scroll(Where({"kind": "document"})) if ids is None else self._points.get(ids)
        )

    def code(self) -> list[Document]:
        coded = self._visible(self._points.scroll(Where({"kind": "document"}, {"code": ""})))
        return [document for document in coded if document.code]  # of old records that do not say

    def outlines(self, documents: Sequence[Document]) -> dict[str, Outline]:
        found: dict[str, Outline] = {}
        ids = [outline_id(document) for document in documents if document.code]
        for at in range(0, len(ids), BATCH):
            found |= map(to_outline, self._points.get(ids[at : at + BATCH]))
        return found

    def changes(self) -> tuple[object, ...]:
        return self._writes.of, self._writes.count

    def size(self, among: Filter | None = None) -> tuple[int, int]:
        if not among:
            documents = self._points.count(Where({"kind": "document"}, {"revision": ""}))
            return documents, self._points.count(_LIVE)
        where = self._where(among)
        documents = sum(filters.admits(among, document) for document in self.documents())
        return documents, self._points.count(where) if where else 0

    def put(self, document: Document, passages: Sequence[Passage], vectors: Vectors) -> None:
        self.put_all([Write(document, passages, vectors)])

    def put_all(self, writes: Sequence[Write]) -> None:
        current = {p["document_id"]: p for p in self._points.get([write.document.id for write in writes])}
        new = []
        for write in writes:
            if len(write.passages) != len(write.vectors) or not write.passages:
                raise ValueError(f"{len(write.passages)} passages, {len(write.vectors)} vectors")
            now = current.get(write.document.id)
            if now and now["revision"] == write.document.revision:
                self._finish(self._document(now))
            else:
                new.append(write)
        if new:
            self._replace(new, current)

    def _replace(self, writes: Sequence[Write], current: Mapping[str, Payload]) -> None:
        """All of them with the flushes of one, which take most of the time of a small document."""
        documents = [write.document for write in writes]
        self._mark(
            [self._document(current[d.id]) if d.id in current else replace(d, revision="") for d in documents]
        )
        for points in _batched((point for write in writes for point in _points(write)), BATCH):
            self._points.upsert(points)
        for document in documents:
            ours = {"kind": "passage", "document_id": document.id, "revision": document.revision}
            self._points.assign(Where(ours), {"state": "live"})
        self._points.flush()
        self._mark(documents)  # the swap
        for document in documents:
            self._finish(document)

    def remove(self, document_ids: Sequence[str]) -> None:
        for payload in self._points.get(document_ids):
            gone = replace(self._document(payload), revision="")
            self._mark([gone])
            self._finish(gone)

    def _finish(self, document: Document) -> None:
        """Deletes all passages but the visible ones, then the mark that there was something to do."""
        self._writes.count += 1
        others = {"revision": document.revision} if document.revision else {}
        self._points.delete(Where({"document_id": document.id}, others, one_of={"kind": _CONTENT}))
        if document.revision:
            # Not flushed: a crash leaves it dirty, and repairing is to do this again.
            self._points.upsert([Point(document.id, document_payload(document, dirty=False))])
        else:
            self._points.delete(Where({"kind": "document", "document_id": document.id}))
            self._points.flush()

    def _repair(self) -> None:
        for payload in list(self._points.scroll(Where({"kind": "document", "state": "dirty"}))):
            document = self._document(payload)
            log.warning("finishing an interrupted write of %s in %s", document.source, self.name)
            self._finish(document)

    def _mark(self, documents: Sequence[Document]) -> None:
        self._points.upsert([Point(each.id, document_payload(each, dirty=True)) for each in documents])
        self._points.flush()

    def _visible(self, payloads: Iterable[Payload]) -> list[Document]:
        visible = (self._document(payload) for payload in payloads if payload["revision"])
        return sorted(visible, key=lambda document: document.source)

    def _document(self, payload: Payload) -> Document:
        """Of this collection, whatever it was called when the document was written."""
        return to_document({**payload, "collection": self.name})

    def _words(self, question: str) -> Sparse:
        """By the stems of each language that documents here are in: a question is too short to tell its own."""
        weights: dict[int, float] = {}
        for each in language.known(self._points.values("language", Where({"kind": "document"}))):
            vector = language.weights(each).embed_query(parted(question))
            weights |= dict(zip(vector.indices, vector.values, strict=True))
        return Sparse(list(weights), list(weights.values()))


def _points(write: Write) -> Iterator[Point]:
    if write.outline:
        yield Point(outline_id(write.document), outline_payload(write.document, write.outline))
    for passage, vector in zip(write.passages, write.vectors, strict=True):
        payload = passage_payload(passage, live=False)
        yield Point(passage.id, payload, vector.tolist(), _sparse(write.document, passage))


def _batched(points: Iterable[Point], size: int) -> Iterator[list[Point]]:
    rest = iter(points)
    while batch := list(islice(rest, size)):
        yield batch


def _sparse(document: Document, passage: Passage) -> Sparse:
    vector = language.weights(document.language).embed_document(sparse_text(document, passage))
    return Sparse(vector.indices, vector.values)
