"""One collection over Qdrant points: search, the catalog, and replacement by write, then swap.

A document's catalog record names its one visible revision. Passages are written hidden, made live, and become
visible at the single point update that puts the new revision into the record; only then are the old passages
deleted. A search drops live passages whose revision is not the record's, so at every moment, also after a crash
between any two steps, exactly one whole revision can be seen. A record is ``dirty`` from the first step to the
last; what a crash left behind is found by that and removed.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from qdrant_edge import Bm25

from rag.ports import Vectors
from rag.store.points import (
    Point,
    Points,
    Sparse,
    Where,
    document_payload,
    passage_payload,
    to_document,
    to_passage,
)
from rag.text import indexed_text
from rag.types import Document, Hit, Passage

log = logging.getLogger(__name__)

BATCH = 256  # points per update: bounds the memory and the size of a request
MIN_CANDIDATES = 50  # of each kind before they are fused: what both kinds find is to be seen by both


class Collection:
    """``exclusive``: no other process writes here, so what a crash left can be removed on opening."""

    def __init__(self, name: str, points: Points, *, exclusive: bool) -> None:
        self.name = name
        self._points = points
        # Ships with Qdrant Edge, works offline; its token ids are those of the server's BM25 inference.
        self._bm25 = Bm25()
        if exclusive:
            self._repair()

    def search(self, text: str, vector: Vectors, limit: int) -> list[Hit]:
        live = Where({"kind": "passage", "state": "live"})
        candidates = max(limit, MIN_CANDIDATES)
        found = self._points.query(vector.tolist(), self._sparse(text, query=True), live, candidates)
        pairs = [(to_passage(payload), score) for payload, score in found]
        records = {d.id: d for d in self.documents(sorted({p.document_id for p, _ in pairs}))}
        hits = [
            Hit(records[passage.document_id], passage, score)
            for passage, score in pairs
            if passage.document_id in records and passage.revision == records[passage.document_id].revision
        ]
        # Equal scores come in the engine's internal order; a fixed one keeps answers reproducible.
        return sorted(hits, key=lambda hit: (-hit.score, hit.document.source, hit.passage.ordinal))[:limit]

    def read(self, document_id: str, ordinals: tuple[int, int] | None = None) -> list[Passage]:
        records = self.documents([document_id])
        if not records:
            return []
        visible = {"kind": "passage", "document_id": document_id, "revision": records[0].revision}
        found = self._points.scroll(Where(visible, ordinals=ordinals))
        return sorted(map(to_passage, found), key=lambda p: p.ordinal)

    def vectors(self, passages: Sequence[Passage]) -> Vectors:
        found: dict[str, list[float]] = {}
        for at in range(0, len(passages), BATCH):
            found |= self._points.dense([passage.id for passage in passages[at : at + BATCH]])
        return np.asarray([found[passage.id] for passage in passages], dtype=np.float32)

    def documents(self, ids: Sequence[str] | None = None) -> list[Document]:
        payloads = self._points.scroll(Where({"kind": "document"})) if ids is None else self._points.get(ids)
        visible = (to_document(payload) for payload in payloads if payload["revision"])
        return sorted(visible, key=lambda document: document.source)

    def size(self) -> tuple[int, int]:
        documents = self._points.count(Where({"kind": "document"}, {"revision": ""}))
        return documents, self._points.count(Where({"kind": "passage", "state": "live"}))

    def put(self, document: Document, passages: Sequence[Passage], vectors: Vectors) -> None:
        if len(passages) != len(vectors) or not passages:
            raise ValueError(f"{len(passages)} passages, {len(vectors)} vectors")
        current = next(iter(self._points.get([document.id])), None)
        if current and current["revision"] == document.revision:
            self._finish(to_document(current))
            return
        before = to_document(current) if current else dataclasses.replace(document, revision="")
        self._mark(before)
        for at in range(0, len(passages), BATCH):
            self._points.upsert(
                [
                    Point(
                        passage.id,
                        passage_payload(passage, live=False),
                        vector.tolist(),
                        self._sparse(indexed_text(document, passage), query=False),
                    )
                    for passage, vector in zip(
                        passages[at : at + BATCH], vectors[at : at + BATCH], strict=True
                    )
                ]
            )
        ours = {"kind": "passage", "document_id": document.id, "revision": document.revision}
        self._points.assign(Where(ours), {"state": "live"})
        self._points.flush()
        self._mark(document)  # the swap
        self._finish(document)

    def remove(self, document_ids: Sequence[str]) -> None:
        for payload in self._points.get(document_ids):
            gone = dataclasses.replace(to_document(payload), revision="")
            self._mark(gone)
            self._finish(gone)

    def _finish(self, document: Document) -> None:
        """Deletes all passages but the visible ones, then the mark that there was something to do."""
        others = {"revision": document.revision} if document.revision else {}
        self._points.delete(Where({"kind": "passage", "document_id": document.id}, others))
        if document.revision:
            # Not flushed: a crash leaves it dirty, and repairing is to do this again.
            self._points.upsert([Point(document.id, document_payload(document, dirty=False))])
        else:
            self._points.delete(Where({"kind": "document", "document_id": document.id}))
            self._points.flush()

    def _repair(self) -> None:
        for payload in list(self._points.scroll(Where({"kind": "document", "state": "dirty"}))):
            document = to_document(payload)
            log.warning("finishing an interrupted write of %s in %s", document.source, self.name)
            self._finish(document)

    def _mark(self, document: Document) -> None:
        self._points.upsert([Point(document.id, document_payload(document, dirty=True))])
        self._points.flush()

    def _sparse(self, text: str, *, query: bool) -> Sparse:
        vector = self._bm25.embed_query(text) if query else self._bm25.embed_document(text)
        return Sparse(vector.indices, vector.values)
