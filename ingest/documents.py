"""The documents of one collection as a run sees them: which of them are there, and how new ones are written."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from ingest.gone import is_gone
from ingest.media_types import MEDIA_TYPES
from ingest.parse import parser_version
from ingest.passages import TILING_VERSION, from_tiles, max_characters_for
from ingest.report import FileResult
from ingest.sources import Source
from ingest.work import Work
from ingest.workers import Read
from rag.errors import CollectionNotFound, RagError
from rag.indexed import INDEXING_VERSION
from rag.language import language_of
from rag.ports import Embedder, Index, Store, TokenCounter, Vectors, Write
from rag.prompt import passage_pieces
from rag.types import Document, Passage, short_name

log = logging.getLogger(__name__)

_NAMESPACE = uuid.UUID("6f70656e-626f-5f6f-8b00-646f63756d65")


def revision_of(uri: str, media_type: str, content_hash: str, max_characters: int) -> str:
    """Hashes all that passages and vectors depend on. Token counts are not among it: they are counted again for
    another model (rag/answer.py)."""
    parts = (
        content_hash,
        media_type,
        short_name(uri),
        parser_version(media_type),
        TILING_VERSION,
        str(max_characters),
        INDEXING_VERSION,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def reading_version(max_characters: int) -> str:
    """Changes whenever files of any kind would be read, or cut into passages, by another version."""
    parts = (
        revision_of("", each, "", max_characters) for each in sorted({*MEDIA_TYPES.values(), "text/plain"})
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def id_of(identity: str, uri: str) -> str:
    """Of the document that a source is in the collection that goes by ``identity``."""
    return str(uuid.uuid5(_NAMESPACE, f"{identity}\n{uri}"))


def is_outdated(document: Document, max_characters: int) -> bool:
    """Whether the same bytes would now be read, or cut into passages, by another version than made it."""
    now = revision_of(document.source, document.media_type, document.content_hash, max_characters)
    return document.revision != now


def _modified_at(source: Source) -> str:
    """Empty where the file is gone or its time is beyond the calendar."""
    try:
        changed = datetime.fromtimestamp(source.path.stat().st_mtime, UTC)
    except (OSError, OverflowError, ValueError):
        return ""
    return changed.isoformat(timespec="seconds")


class Documents:
    """Raises BadName, FingerprintMismatch and StoreUnavailable."""

    def __init__(
        self, store: Store, collection: str, embedder: Embedder, tokens: TokenCounter, identity: str
    ) -> None:
        self._store, self._collection, self._tokens = store, collection, tokens
        self._identity = identity
        self._by_content: dict[str, list[Document]] | None = None
        self.max_characters = max_characters_for(embedder.max_tokens)
        self._index = self._existing()
        self._is_gone: Callable[[str], bool] = is_gone

    def look_again(self, is_gone: Callable[[str], bool]) -> None:
        """A run may wait for its turn: the one before may have made or dropped the collection. ``is_gone`` tells of a
        source whether its file is not there any more."""
        self._index, self._by_content, self._is_gone = self._existing(), None, is_gone

    def _existing(self) -> Index | None:
        try:
            return self._store.open(self._collection)
        except CollectionNotFound:
            return None

    def current(self, uri: str) -> Document | None:
        found = self._index.documents([self._id(uri)]) if self._index else []
        return found[0] if found else None

    def hold(self, results: Sequence[FileResult]) -> bool:
        """Whether all that these results wrote is there, as reading the same bytes again would give it."""
        for result in results:
            document = self.current(result.source) if result.passages else None
            if result.passages and (document is None or is_outdated(document, self.max_characters)):
                return False
        return True

    def revision(self, source: Source, content_hash: str) -> str:
        return revision_of(source.uri, source.media_type, content_hash, self.max_characters)

    def make(self, work: Work, read: Read) -> Document:
        """The document of a file that was read; its passages go into ``work``."""
        parsed, source = read.parsed, work.source
        if read.content_hash != work.content_hash:  # it was changed since it was looked at
            work.content_hash, work.revision = read.content_hash, self.revision(source, read.content_hash)
        work.tiles = from_tiles(parsed, read.tiles, self._id(source.uri), work.revision, self._tokens.count)
        self._tokens.keep(passage_pieces(work.tiles))
        work.outline = parsed.outline
        work.document = Document(
            id=self._id(source.uri),
            collection=self._collection,
            source=source.uri,
            title=parsed.title,
            media_type=source.media_type,
            content_hash=work.content_hash,
            revision=work.revision,
            characters=len(parsed.text),
            tokens=sum(tile.tokens for tile in work.tiles),
            passages=len(work.tiles),
            pages=parsed.pages,
            ocr_pages=parsed.ocr_pages,
            empty_pages=parsed.empty_pages,
            tokenizer=self._tokens.name,
            ingested_at=datetime.now(UTC).isoformat(timespec="seconds"),
            # What an archive holds was written to disk just now.
            modified_at=_modified_at(work.place.outermost.source if work.place else source),
            language=language_of(parsed.text),
            code=parsed.outline.language if parsed.outline else "",
            fields=parsed.fields,
        )
        return work.document

    def moved(self, document: Document, tiles: Sequence[Passage]) -> Vectors | None:
        """The vectors of a document with the same passages whose file is not there any more: a rename costs no
        embedding. New ones would differ in the file's name alone."""
        if self._index is None:
            return None
        if self._by_content is None:
            self._by_content = {}
            for each in self._index.documents():
                self._by_content.setdefault(each.content_hash, []).append(each)
        same = self._by_content.get(document.content_hash, ())
        former = next((each for each in same if self._is_gone(each.source)), None)
        if former is None:
            return None
        stored = self._index.read(former.id)
        if [(p.text, p.section) for p in stored] != [(p.text, p.section) for p in tiles]:
            return None
        return self._index.vectors(stored)

    def put(self, writes: Sequence[Write]) -> None:
        """What has been put already costs little."""
        # Made only now, so that a run in which nothing could be read leaves no empty collection.
        self._index = self._index or self._store.open(self._collection, create=True)
        self._index.put_all(writes)

    def try_together(self, writes: Sequence[Write]) -> None:
        """Puts several faster than each for itself. Where that fails, each is to be put for itself, so that it costs
        the one file that it is about."""
        try:
            if len(writes) > 1:
                self.put(writes)
        except (RagError, MemoryError):
            raise
        except Exception:
            log.exception("storing %d documents together failed", len(writes))

    def _id(self, uri: str) -> str:
        return id_of(self._identity, uri)
