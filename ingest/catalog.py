"""What collections hold, documents by the names that people give them, and their removal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from ingest.documents import is_outdated
from ingest.passages import max_characters_for
from ingest.report import Removal
from ingest.uploads import Sent, Uploads
from rag.collection_settings import REPOSITORIES, CollectionSettings
from rag.errors import (
    BadRequest,
    CollectionNotFound,
    DocumentNotFound,
    FingerprintMismatch,
    RagError,
    StoreError,
    StoreUnavailable,
)
from rag.ports import Embedder, Index, Reader, Store
from rag.reading import read
from rag.repository import dump, load, outside
from rag.types import Document


class Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


@dataclass(frozen=True, slots=True)
class Listing:
    collection: str
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """Of one collection; or the ``error`` that says why it cannot be opened. ``outdated`` documents were read by an
    older parser: the next ingest of their files reads them again."""

    documents: int | None = None
    passages: int | None = None
    outdated: int = 0
    error: str | None = None


def sizes(store: Store, embedder: Embedder) -> dict[str, Size]:
    """By collection. One that is damaged does not hide the others."""
    max_characters = max_characters_for(embedder.max_tokens)
    return {name: _size(store, name, max_characters) for name in store.names()}


def _size(store: Store, name: str, max_characters: int) -> Size:
    try:
        return read(store, [name], lambda index: _counted(index, max_characters))
    except RagError as error:
        return Size(error=str(error))


def _counted(index: Reader, max_characters: int) -> Size:
    documents, passages = index.size()
    outdated = sum(is_outdated(document, max_characters) for document in index.documents())
    return Size(documents, passages, outdated)


def counts(store: Store) -> dict[str, tuple[int, int]]:
    """Documents and passages of each collection that can be opened."""
    found = {}
    for name in store.names():
        with suppress(FingerprintMismatch, StoreUnavailable):
            found[name] = read(store, [name], lambda index: index.size())
    return found


def listing(store: Store, collection: str) -> Listing:
    """Raises CollectionNotFound."""
    return Listing(collection, tuple(read(store, [collection], lambda index: index.documents())))


def removed(
    store: Store,
    uploads: Uploads,
    settings: CollectionSettings,
    collection: str,
    names: Sequence[str],
    folder: Path,
    *,
    everything: bool = False,
) -> Removal:
    """Removes the documents that ``names`` mean, or the collection with all of them, and returns them.

    A name is a document id, a source URI, a file's path, or a folder's path for all below it; relative paths
    begin at ``folder``. What each means is settled for all names before anything is removed. Files that were
    uploaded go after the last document from them; they can be named where no document came of them, too. With a
    collection goes what is set for it, with a repository's folder what is remembered of that.
    Raises DocumentNotFound, CollectionNotFound, BadRequest.
    """
    if bool(names) == everything:
        raise BadRequest(
            "Nothing was named to remove, or both names and --all.", "Name documents, or use --all."
        )
    sent = {file.source: file for file in uploads.sent(collection)}
    if everything:
        # First, so that whatever ends this process, no later collection of the name is bound by them.
        settings.forget(collection)
        dropped = _dropped(store, collection, missing_ok=bool(sent))
        uploads.drop(collection)
        return Removal(collection, tuple(dropped), tuple(file.name for file in sent.values()))
    index = _opened(store, collection, missing_ok=bool(sent))
    documents = index.documents() if index else []
    meant = [named(documents, name, folder, collection, list(sent.values())) for name in names]
    files: set[str | None] = {file.source for _, named in meant for file in named}
    came_from = {document.id: _file_of(document, sent) for document in documents}
    chosen = {document.id: document for named, _ in meant for document in named}
    chosen |= {document.id: document for document in documents if came_from[document.id] in files}
    if index:
        index.remove(list(chosen))
    _forget(settings, collection, [_uri(name, folder) for name in names])
    files |= {came_from[id_] for id_ in chosen}
    kept = {source for id_, source in came_from.items() if id_ not in chosen}
    deleted = [file for source, file in sent.items() if source in files - kept]
    uploads.remove(deleted)
    return Removal(collection, tuple(chosen.values()), tuple(file.name for file in deleted))


def _forget(settings: CollectionSettings, collection: str, sources: Sequence[str]) -> None:
    """No refresh is to bring back what a repository's folder held."""
    known = kept = load(settings.get(collection, REPOSITORIES))
    for source in sources:
        kept = outside(kept, source)
    if kept != known:
        settings.set(collection, REPOSITORIES, dump(kept) or None)


def _dropped(store: Store, collection: str, *, missing_ok: bool) -> list[Document]:
    try:
        index = _opened(store, collection, missing_ok=missing_ok)
        if index is None:
            return []
        documents = index.documents()
    except StoreError:  # damaged, or of another embedder: to be rid of it is the way out
        documents = []
    store.drop(collection)
    return documents


def _opened(store: Store, collection: str, *, missing_ok: bool) -> Index | None:
    try:
        return store.open(collection)
    except CollectionNotFound:
        if missing_ok:  # no document came of what it was sent
            return None
        raise


def _file_of(document: Document, sent: Mapping[str, Sent]) -> str | None:
    """The source of the uploaded file that the document is, or was in."""
    source = document.source
    while source and source not in sent:
        source = source.rpartition("/")[0]
    return source or None


def named(
    documents: Sequence[N], name: str, folder: Path, collection: str, sent: Sequence[Sent] = ()
) -> tuple[list[N], list[Sent]]:
    """What a name means of them, as ``removed`` has it. Raises DocumentNotFound, BadRequest."""
    uri = _uri(name, folder)
    found = [document for document in documents if name == document.id or _is_at(document.source, name, uri)]
    files = [file for file in sent if _is_at(file.source, name, uri)]
    if found or files:
        return found, files
    # "samples/manual.pdf", as the listing prints it, wherever the file lies
    found = [document for document in documents if document.name == name]
    if len(found) > 1:
        sources = ", ".join(document.source for document in found)
        raise BadRequest(f"{name!r} names {len(found)} documents: {sources}.", "Name one of these instead.")
    if not found:
        files = [file for file in sent if file.name == name]  # as the results of its job print it
    if not (found or files):
        raise DocumentNotFound.of(name, collection)
    return found, files


def _is_at(source: str, name: str, uri: str) -> bool:
    """Whether a source is what was named, by its URI or path, or is below that."""
    return source in (name, uri) or source.startswith(uri.rstrip("/") + "/")


def _uri(name: str, folder: Path) -> str:
    if not name.strip():  # it would mean the working directory: what an unset shell variable must not remove
        raise BadRequest("An empty name was given.", "Name documents, or use --all.")
    try:
        return Path(os.path.realpath(folder / Path(name).expanduser())).as_uri()
    except (RuntimeError, ValueError) as error:  # no such user's home; a zero byte
        raise BadRequest(f"{name!r} is not a path: {error}", "Name documents as they are listed.") from error
