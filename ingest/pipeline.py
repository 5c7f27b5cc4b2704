"""Files to documents in the index, one whole file at a time: find, read, parse, tile, embed, store."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
import uuid
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ingest import sources
from ingest.changes import find_changed
from ingest.failures import Failures
from ingest.gone import is_gone
from ingest.parse import parse, parser_version
from ingest.parsed import Parsed
from ingest.passages import TILING_VERSION, max_characters_for, passages
from ingest.report import FileResult, Found, Progress, Report, Status
from ingest.sources import Skipped, Source, find
from rag.errors import CollectionNotFound, RagError, SourceError, SourceMissing, SourceUnsupported
from rag.ports import Embedder, Index, Store, TokenCounter, Vectors
from rag.text import indexed_text
from rag.types import Document, Passage, short_name

log = logging.getLogger(__name__)

Event = Found | Progress | FileResult | Report
EMBED_BATCH = 64  # passages between two signs of progress: seconds on a CPU

_NAMESPACE = uuid.UUID("6f70656e-626f-5f6f-8b00-646f63756d65")


@dataclass(slots=True)
class _Tally:
    """What a run has done so far."""

    results: list[FileResult]
    parsed: int = 0
    embedded: int = 0
    bytes_done: int = 0


class Ingestion:
    """One run. Iterate over ``run``; between two events it can be abandoned without harm.

    Raises BadName, FingerprintMismatch and StoreUnavailable.
    """

    def __init__(self, store: Store, embedder: Embedder, tokens: TokenCounter, collection: str) -> None:
        self._store, self._embedder, self._tokens = store, embedder, tokens
        self._failures: Failures | None = None
        self._dry = False
        self._by_content: dict[str, Document] | None = None
        self._collection = collection
        self._index = _existing(store, collection)
        self._max_characters = max_characters_for(embedder.max_tokens)
        self._tally = _Tally([])
        self._seconds: dict[str, float] = {}

    def run(
        self,
        paths: Sequence[Path],
        changed: Sequence[Path] | None = None,
        failures: Failures | None = None,
        *,
        dry: bool = False,
    ) -> Iterator[Event]:
        """Found, then Progress and FileResult for each file, then the Report. With ``changed`` only these files
        below ``paths`` are looked at; with ``failures`` one that failed before is not tried again until it or its
        parser has changed. A ``dry`` run tells what would be done, as far as that can be known without parsing.

        Raises SourceMissing before anything is done; StoreErrors and a missing embedding model end the run,
        and what was stored stays. Everything else that can go wrong is that file's result.
        """
        began = time.perf_counter()
        self._failures, self._dry = failures, dry
        # Again, since a run may wait for its turn: the one before may have made or dropped the collection.
        self._index = _existing(self._store, self._collection)
        check_there(paths)
        found = _named(find(paths) if changed is None else find_changed(changed, paths))
        yield Found(len(found.sources) + len(found.skipped), sum(source.size for source in found.sources))
        for skipped in found.skipped:
            yield self._done(self._beside_former(_skipped(skipped), _uri_of(skipped)), 0)
        for source in found.sources:
            yield from self._file(source)
        self._seconds["total"] = time.perf_counter() - began
        yield Report(
            self._collection,
            tuple(self._tally.results),
            self._tally.parsed,
            self._tally.embedded,
            {stage: round(seconds, 3) for stage, seconds in self._seconds.items()},
        )

    def _file(self, source: Source) -> Iterator[Event]:
        try:
            result = yield from self._ingest(source)
        except SourceError as error:
            # A folder holds what it holds; a file that was named was meant.
            passed_over = isinstance(error, SourceUnsupported) and not source.explicit
            result = _failure(source, error, "skipped" if passed_over else "failed")
        except (RagError, MemoryError):
            raise
        except Exception as error:  # a parser's bug must cost one file, not the run
            log.exception("ingesting %s failed", source.path)
            result = _failure(source, SourceError(f"{source.name}: {error!r}", "This is a bug in openbook."))
        if result.status in ("failed", "skipped"):
            result = self._beside_former(result, source.uri)
        yield self._done(result, source.size)

    def _ingest(self, source: Source) -> Generator[Event, None, FileResult]:
        data = _read(source)
        content_hash = hashlib.sha256(data).hexdigest()
        document_id = self._document_id(source.uri)
        revision = self._revision(source, content_hash)
        current = self._current(source.uri)
        if current and current[0].revision == revision:
            return _result(source, "unchanged", current[0])
        if self._failures and (known := self._failures.known(self._collection, source.uri, revision)):
            return known
        if self._dry:
            return FileResult(source.name, source.uri, "replaced" if current else "added")
        yield self._progress(source, "parse")
        with self._timed("parse"), self._remembered(source, revision):
            parsed = parse(data, source.name, source.media_type)
            tiles = passages(parsed, document_id, revision, self._tokens.count, self._max_characters)
        self._tally.parsed += 1
        document = self._document(source, content_hash, document_id, revision, parsed, tiles)
        vectors = None if current else self._moved(document, tiles)
        if vectors is None:
            vectors = yield from self._embed(source, document, tiles)
        yield self._progress(source, "store", len(tiles), len(tiles))
        with self._timed("store"):
            # Made only now, so that a run in which nothing could be read leaves no empty collection.
            self._index = self._index or self._store.open(self._collection, create=True)
            self._index.put(document, tiles, vectors)
        return _result(source, "replaced" if current else "added", document)

    def _moved(self, document: Document, tiles: Sequence[Passage]) -> Vectors | None:
        """The vectors of a document with the same passages whose file is not there any more: a rename costs no
        embedding. New ones would differ in the file's name alone."""
        if self._index is None:
            return None
        if self._by_content is None:
            self._by_content = {each.content_hash: each for each in self._index.documents()}
        former = self._by_content.get(document.content_hash)
        if former is None or not is_gone(former.source):
            return None
        stored = self._index.read(former.id)
        same = [(p.text, p.section) for p in stored] == [(p.text, p.section) for p in tiles]
        return self._index.vectors(stored) if same else None

    @contextmanager
    def _remembered(self, source: Source, revision: str) -> Iterator[None]:
        try:
            yield
        except SourceError as error:
            if self._failures:
                self._failures.remember(self._collection, revision, _failure(source, error))
            raise

    def _embed(
        self, source: Source, document: Document, tiles: Sequence[Passage]
    ) -> Generator[Event, None, Vectors]:
        batches: list[Vectors] = []
        for at in range(0, len(tiles), EMBED_BATCH):
            yield self._progress(source, "embed", at, len(tiles))
            with self._timed("embed"):
                batches.append(
                    self._embedder.embed(
                        [indexed_text(document, tile) for tile in tiles[at : at + EMBED_BATCH]]
                    )
                )
        self._tally.embedded += len(tiles)
        return np.concatenate(batches)

    def _document(
        self,
        source: Source,
        content_hash: str,
        document_id: str,
        revision: str,
        parsed: Parsed,
        tiles: Sequence[Passage],
    ) -> Document:
        return Document(
            id=document_id,
            collection=self._collection,
            source=source.uri,
            title=parsed.title,
            media_type=source.media_type,
            content_hash=content_hash,
            revision=revision,
            characters=len(parsed.text),
            tokens=sum(tile.tokens for tile in tiles),
            passages=len(tiles),
            pages=parsed.pages,
            ocr_pages=parsed.ocr_pages,
            empty_pages=parsed.empty_pages,
            tokenizer=self._tokens.name,
            ingested_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _document_id(self, uri: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self._collection}\n{uri}"))

    def _current(self, uri: str) -> list[Document]:
        return self._index.documents([self._document_id(uri)]) if self._index else []

    def _beside_former(self, result: FileResult, uri: str) -> FileResult:
        """Says so where a file that cannot be used now was ingested before: that version can still be found."""
        if not (former := self._current(uri)):
            return result
        stays = f"The version of {former[0].ingested_at} stays."
        return replace(result, reason=" ".join(filter(None, (_sentence(result.reason), stays))))

    def _revision(self, source: Source, content_hash: str) -> str:
        """Hashes all that passages and vectors depend on. Token counts are not among it: they are counted
        again for another model (rag/answer.py)."""
        parts = (
            content_hash,
            source.media_type,
            short_name(source.uri),
            parser_version(source.media_type),
            TILING_VERSION,
            str(self._max_characters),
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def _progress(self, source: Source, stage: str, done: int = 0, of: int = 0) -> Progress:
        tally = self._tally
        return Progress(source.name, stage, len(tally.results), tally.bytes_done, done, of)  # type: ignore[arg-type]

    def _done(self, result: FileResult, size: int) -> FileResult:
        self._tally.results.append(result)
        self._tally.bytes_done += size
        return result

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - began


def check_there(paths: Sequence[Path]) -> None:
    """Raises SourceMissing for the first path that is not there, or that cannot be looked at."""
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            broken = "leads nowhere" if path.is_symlink() else "does not exist"
            raise SourceMissing(f"{path} {broken}.", "Check the path, and where you are.") from error
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceMissing(
                f"{path} cannot be looked at: {reason}.", "Check the path and the permissions of its folders."
            ) from error


def _sentence(reason: str) -> str:
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."


def _existing(store: Store, collection: str) -> Index | None:
    try:
        return store.open(collection)
    except CollectionNotFound:
        return None


def _read(source: Source) -> bytes:
    try:
        return source.path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{source.name} cannot be read: {error.strerror}.", "Check that it is there and its permissions."
        ) from error


def _result(source: Source, status: Status, document: Document) -> FileResult:
    return FileResult(source.name, source.uri, status, document.pages, document.passages, document.tokens)


def _failure(source: Source, error: SourceError, status: Status = "failed") -> FileResult:
    return FileResult(
        source.name, source.uri, status, reason=error.message, hint=error.hint, error=error.code
    )


def _skipped(skipped: Skipped) -> FileResult:
    status: Status = "failed" if skipped.explicit else "skipped"
    return FileResult(skipped.name, skipped.path.as_uri(), status, reason=skipped.reason)


def _named(found: sources.Found) -> sources.Found:
    """With names that can be stored and sent: a file's name on disk may be bytes that are no UTF-8."""
    return sources.Found(
        tuple(replace(source, name=_unicode(source.name)) for source in found.sources),
        tuple(replace(skipped, name=_unicode(skipped.name)) for skipped in found.skipped),
    )


def _unicode(name: str) -> str:
    return name.encode(errors="replace").decode()


def _uri_of(skipped: Skipped) -> str:
    """A link is left as it is: what it leads to is another source, with a result of its own."""
    folder = os.path.realpath(skipped.path.parent)  # Path.resolve raises where links go in a circle
    return Path(folder, skipped.path.name).as_uri()


async def stepwise(events: Iterator[Event]) -> AsyncGenerator[Event, None]:
    """The same events, each made in a thread. Cancelled, it lets the step at hand finish: a store must not be
    closed under a write."""
    while True:
        step = asyncio.create_task(asyncio.to_thread(next, events, None))
        try:
            event = await asyncio.shield(step)
        except asyncio.CancelledError:
            await asyncio.wait([step])
            raise
        if event is None:
            return
        yield event
