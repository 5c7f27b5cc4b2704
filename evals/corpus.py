"""The documents of a data set written into a collection, by the same path as those of users."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from contextlib import aclosing

from evals.datasets.values import Corpus, Record
from evals.progress import Begin, Done
from ingest.parsed import Parsed, Region
from ingest.passages import max_characters_for, passages
from ingest.pipeline import Ingestion
from ingest.report import FileResult
from ingest.steps import stepwise, to_end
from rag.answer import Rag
from rag.errors import BadRequest
from rag.indexed import dense_text
from rag.language import language_of
from rag.ports import Write
from rag.types import Document, Passage

COLLECTION = "evaluation"
_AT_ONCE = 256  # records whose passages are embedded together


async def write(rag: Rag, corpus: Corpus, begin: Begin) -> None:
    """Cancelled, it ends with the step at hand. Raises BadRequest for a file that cannot be read: figures without it
    would be of other data."""
    await to_end(rag.store.open, COLLECTION, create=True)
    if corpus.records:
        done = begin("writing records", len(corpus.records))
        for at in range(0, len(corpus.records), _AT_ONCE):
            some = corpus.records[at : at + _AT_ONCE]
            await to_end(_write_records, rag, some)
            done(len(some))
    if corpus.files:
        await _write_files(rag, corpus, begin("reading files", len(corpus.files)))


def _write_records(rag: Rag, records: Sequence[Record]) -> None:
    some = [_document(rag, record) for record in records]
    vectors = rag.embedder.embed([dense_text(d, tile) for d, tiles in some for tile in tiles])
    writes, first = [], 0
    for document, tiles in some:
        writes.append(Write(document, tiles, vectors[first : first + len(tiles)]))
        first += len(tiles)
    rag.store.open(COLLECTION).put_all(writes)


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


async def _write_files(rag: Rag, corpus: Corpus, done: Done) -> None:
    run = Ingestion(rag.store, rag.embedder, rag.tokens, COLLECTION).run(list(corpus.files.values()))
    async with aclosing(stepwise(run)) as events:
        async for event in events:
            if isinstance(event, FileResult):
                if event.status == "failed":
                    raise BadRequest(f"{event.name} cannot be ingested: {event.reason}", event.hint)
                done(1)
