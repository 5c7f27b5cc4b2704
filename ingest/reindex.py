"""A collection built anew by the embedding model in use, from the passages that it holds: no file is read.

The new one is made beside the old one, which answers until then, and takes its place in one step when it is
whole. An interrupted rebuild is taken up where it stopped. (A new parser needs none of this: the next ingest
replaces the documents that it would read differently.)
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator

import numpy as np

from ingest.batches import EMBED_BATCH
from ingest.pipeline import Event
from ingest.report import FileResult, Found, Progress, Report, Status
from rag.answer import Rag
from rag.errors import FingerprintMismatch
from rag.indexed import dense_text
from rag.ports import Embedder, Index, Store, Vectors, Write
from rag.types import Document, Passage


def aside(collection: str) -> str:
    """What it is called while it is made: the same each time, so that it is taken up again, short however long the
    collection's name is, and nobody's own."""
    return f"rebuilding-{hashlib.sha256(collection.encode()).hexdigest()[:32]}"


def reindexed(rag: Rag, collection: str) -> Iterator[Event]:
    """Found, Progress and a FileResult for each document, then the Report. Raises CollectionNotFound."""
    began = time.perf_counter()
    old = rag.store.open(collection, any_embedder=True)
    documents = old.documents()
    new = _beside(rag.store, collection)
    done = {document.id: document for document in new.documents()}
    new.remove(sorted(done.keys() - {document.id for document in documents}))
    yield Found(len(documents), sum(document.characters for document in documents))
    results: list[FileResult] = []
    embedded = read = 0
    for document in documents:
        if document.id in done and done[document.id].revision == document.revision:
            results.append(_result(document, "unchanged"))
        else:
            passages = old.read(document.id)
            batches: list[Vectors] = []
            for at in range(0, len(passages), EMBED_BATCH):
                yield Progress(document.name, "embed", len(results), read, at, len(passages))
                batches.append(_embedded(rag.embedder, document, passages[at : at + EMBED_BATCH]))
            outline = old.outlines([document]).get(document.id)
            new.put_all([Write(document, passages, np.concatenate(batches), outline)])
            embedded += len(passages)
            results.append(_result(document, "replaced"))
        read += document.characters
        yield results[-1]
    rag.store.swap(collection, aside(collection))
    yield Report(collection, tuple(results), 0, embedded, {"total": round(time.perf_counter() - began, 3)})


def _beside(store: Store, collection: str) -> Index:
    try:
        return store.open(aside(collection), create=True)
    except FingerprintMismatch:  # a rebuild for yet another model was interrupted
        store.drop(aside(collection))
        return store.open(aside(collection), create=True)


def _embedded(embedder: Embedder, document: Document, passages: list[Passage]) -> Vectors:
    return embedder.embed([dense_text(document, passage) for passage in passages])


def _result(document: Document, status: Status) -> FileResult:
    counts = (document.pages, document.passages, document.tokens)
    return FileResult(document.name, document.source, status, *counts)
