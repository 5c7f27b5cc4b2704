"""The documents of a data set written into a collection, by the same path as those of users."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from pathlib import Path

from evals.datasets.values import Corpus, Record
from evals.progress import Begin, Done
from ingest.code.languages import of_media_type
from ingest.code.parser import parsed_as
from ingest.passages import max_characters_for, passages
from ingest.pipeline import Ingestion
from ingest.report import FileResult
from ingest.steps import stepwise, to_end
from rag.answer import Rag
from rag.code.outline import Outline
from rag.errors import BadRequest
from rag.indexed import dense_text
from rag.language import language_of
from rag.ports import Write
from rag.prompt import passage_pieces
from rag.types import Document, Passage

COLLECTION = "evaluation"
_AT_ONCE = 256  # records whose passages are embedded together


async def write(rag: Rag, corpus: Corpus, begin: Begin, expected: Collection[str] = ()) -> list[FileResult]:
    """Returns the files of ``corpus.folder`` that failed. Cancelled, it ends with the step at hand. Raises BadRequest
    for a file that cannot be read and is named, or ``expected`` of the folder: figures without it would be of other
    data."""
    failed: list[FileResult] = []
    await to_end(rag.store.open, COLLECTION, create=True)
    if corpus.records:
        done = begin("writing records", len(corpus.records))
        for at in range(0, len(corpus.records), _AT_ONCE):
            some = corpus.records[at : at + _AT_ONCE]
            await to_end(_write_records, rag, some)
            done(len(some))
    if corpus.files:
        await _write_files(rag, list(corpus.files.values()), begin("reading files", len(corpus.files)))
    if corpus.folder:
        required = {source for source, name in corpus.names.items() if name in expected}
        failed = await _write_folder(
            rag, corpus.folder, required, begin("reading the code", len(corpus.names))
        )
    return failed


def _write_records(rag: Rag, records: Sequence[Record]) -> None:
    some = [document(rag, record, COLLECTION) for record in records]
    vectors = rag.embedder.embed([dense_text(d, tile) for d, tiles, _ in some for tile in tiles])
    writes, first = [], 0
    for made, tiles, outline in some:
        writes.append(Write(made, tiles, vectors[first : first + len(tiles)], outline))
        first += len(tiles)
    rag.store.open(COLLECTION).put_all(writes)


def document(rag: Rag, record: Record, collection: str) -> tuple[Document, list[Passage], Outline | None]:
    id_ = str(uuid.uuid5(uuid.NAMESPACE_URL, record.uri))
    content = hashlib.sha256(record.text.encode()).hexdigest()
    parsed = parsed_as(of_media_type(record.media_type), record.text, record.title, record.title)
    tiles = passages(parsed, id_, content, rag.tokens.count, max_characters_for(rag.embedder.max_tokens))
    rag.tokens.keep(passage_pieces(tiles))
    return (
        Document(
            id=id_,
            collection=collection,
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
            code=parsed.outline.language if parsed.outline else "",
        ),
        tiles,
        parsed.outline,
    )


async def _write_folder(rag: Rag, folder: Path, required: Collection[str], done: Done) -> list[FileResult]:
    """As it would be read for a user: what is no text, or no code of the project's own, is left out."""
    failed = []
    async with aclosing(_read(rag, [folder], done)) as results:
        async for result in results:
            if result.source in required:
                raise _unreadable(result)
            failed.append(result)
    return failed


async def _write_files(rag: Rag, files: Sequence[Path], done: Done) -> None:
    async with aclosing(_read(rag, files, done)) as results:
        async for result in results:
            raise _unreadable(result)


async def _read(rag: Rag, paths: Sequence[Path], done: Done) -> AsyncGenerator[FileResult, None]:
    """Those that failed."""
    run = Ingestion(rag.store, rag.embedder, rag.tokens, COLLECTION).run(paths)
    async with aclosing(stepwise(run)) as events:
        async for event in events:
            if isinstance(event, FileResult):
                if event.status == "failed":
                    yield event
                done(1)


def _unreadable(result: FileResult) -> BadRequest:
    return BadRequest(f"{result.name} cannot be ingested: {result.reason}", result.hint)
