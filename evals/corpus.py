"""The documents of a data set written into a collection, by the same path as those of users."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

from evals.datasets.reading import BadData
from evals.datasets.values import Corpus, Record
from evals.progress import Begin, Done
from ingest.parsed import Parsed, Region
from ingest.passages import max_characters_for, passages
from ingest.pipeline import Ingestion
from ingest.report import FileResult
from rag.answer import Rag
from rag.indexed import dense_text
from rag.language import language_of
from rag.ports import Write
from rag.types import Document, Passage

COLLECTION = "evaluation"
_AT_ONCE = 256  # records whose passages are embedded together


def write(rag: Rag, corpus: Corpus, begin: Begin) -> None:
    """Raises BadData for a file that cannot be read: figures without it would be of other data."""
    rag.store.open(COLLECTION, create=True)
    if corpus.records:
        _write_records(rag, corpus.records, begin("writing records", len(corpus.records)))
    if corpus.files:
        _write_files(rag, corpus, begin("reading files", len(corpus.files)))


def _write_records(rag: Rag, records: Sequence[Record], done: Done) -> None:
    index = rag.store.open(COLLECTION)
    for at in range(0, len(records), _AT_ONCE):
        some = [_document(rag, record) for record in records[at : at + _AT_ONCE]]
        vectors = rag.embedder.embed([dense_text(d, tile) for d, tiles in some for tile in tiles])
        writes, first = [], 0
        for document, tiles in some:
            writes.append(Write(document, tiles, vectors[first : first + len(tiles)]))
            first += len(tiles)
        index.put_all(writes)
        done(len(some))


def _document(rag: Rag, record: Record) -> tuple[Document, list[Passage]]:
    id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, record.uri))
    content = hashlib.sha256(record.text.encode()).hexdigest()
    parsed = Parsed(record.text, record.title, (Region(0),))
    tiles = passages(parsed, id_, content, rag.tokens.count, max_characters_for(rag.embedder.max_tokens))
    return (
        Document(
            id=id_,
            collection=COLLECTION,
            source=record.uri,
            title=record.title,
            media_type=record.media_type,
            content_hash=content,
            revision=content,
            characters=len(record.text),
            tokens=sum(tile.tokens for tile in tiles),
            passages=len(tiles),
            tokenizer=rag.tokens.name,
            language=language_of(record.text),
        ),
        tiles,
    )


def _write_files(rag: Rag, corpus: Corpus, done: Done) -> None:
    files = list(corpus.files.values())
    for event in Ingestion(rag.store, rag.embedder, rag.tokens, COLLECTION).run(files):
        if isinstance(event, FileResult):
            if event.status == "failed":
                raise BadData(f"{event.name} cannot be ingested: {event.reason}", event.hint)
            done(1)
