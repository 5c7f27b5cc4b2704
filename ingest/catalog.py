"""What collections hold, documents by the names that people give them, and their removal."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.documents import is_outdated
from ingest.passages import max_characters_for
from rag.errors import BadRequest, DocumentNotFound, RagError, StoreError
from rag.ports import Embedder, Index, Store
from rag.reading import read
from rag.types import Document


@dataclass(frozen=True, slots=True)
class Listing:
    collection: str
    documents: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Removal:
    collection: str
    removed: tuple[Document, ...]


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
        return read(store, name, lambda index: _counted(index, max_characters))
    except RagError as error:
        return Size(error=str(error))


def _counted(index: Index, max_characters: int) -> Size:
    documents, passages = index.size()
    outdated = sum(is_outdated(document, max_characters) for document in index.documents())
    return Size(documents, passages, outdated)


def listing(store: Store, collection: str) -> Listing:
    """Raises CollectionNotFound."""
    return Listing(collection, tuple(read(store, collection, lambda index: index.documents())))


def removed(
    store: Store, collection: str, names: Sequence[str], folder: Path, *, everything: bool = False
) -> Removal:
    """Removes the documents that ``names`` mean, or the collection with all of them, and returns them.

    A name is a document id, a source URI, a file's path, or a folder's path for all below it; relative paths
    begin at ``folder``. What each means is settled for all names before anything is removed.
    Raises DocumentNotFound, CollectionNotFound, BadRequest.
    """
    if bool(names) == everything:
        raise BadRequest(
            "Nothing was named to remove, or both names and --all.", "Name documents, or use --all."
        )
    if everything:
        return Removal(collection, tuple(_dropped(store, collection)))
    index = store.open(collection)
    documents = index.documents()
    chosen = {d.id: d for name in names for d in _meant(documents, name, folder, collection)}
    index.remove(list(chosen))
    return Removal(collection, tuple(chosen.values()))


def _dropped(store: Store, collection: str) -> list[Document]:
    try:
        documents = store.open(collection).documents()
    except StoreError:  # damaged, or of another embedder: to be rid of it is the way out
        documents = []
    store.drop(collection)
    return documents


def _meant(documents: Sequence[Document], name: str, folder: Path, collection: str) -> list[Document]:
    uri = _uri(name, folder)
    found = [
        document
        for document in documents
        if name in (document.id, document.source)
        or document.source == uri
        or document.source.startswith(uri.rstrip("/") + "/")
    ]
    # "samples/manual.pdf", as the listing prints it, wherever the file lies
    found = found or [document for document in documents if document.name == name]
    if not found:
        raise DocumentNotFound.of(name, collection)
    if len(found) > 1 and all(document.name == name for document in found):
        sources = ", ".join(document.source for document in found)
        raise BadRequest(f"{name!r} names {len(found)} documents: {sources}.", "Name one of these instead.")
    return found


def _uri(name: str, folder: Path) -> str:
    if not name.strip():  # it would mean the working directory: what an unset shell variable must not remove
        raise BadRequest("An empty name was given.", "Name documents, or use --all.")
    try:
        return Path(os.path.realpath(folder / Path(name).expanduser())).as_uri()
    except (RuntimeError, ValueError) as error:  # no such user's home; a zero byte
        raise BadRequest(f"{name!r} is not a path: {error}", "Name documents as they are listed.") from error
