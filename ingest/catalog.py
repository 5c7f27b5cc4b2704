"""Documents by the names that people give them, and their removal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rag.errors import BadRequest, DocumentNotFound
from rag.ports import Store
from rag.types import Document


def removed(
    store: Store, collection: str, names: Sequence[str], folder: Path, *, everything: bool = False
) -> list[Document]:
    """Removes the documents that ``names`` mean, or the collection with all of them, and returns them.

    A name is a document id, a source URI, a file's path, or a folder's path for all below it; relative paths
    begin at ``folder``. What each means is settled for all names before anything is removed. Raises DocumentNotFound, CollectionNotFound, BadRequest.
    """
    if bool(names) == everything:
        raise BadRequest(
            "Nothing was named to remove, or both names and --all.", "Name documents, or use --all."
        )
    index = store.open(collection)
    documents = index.documents()
    if everything:
        store.drop(collection)
        return documents
    chosen = {d.id: d for name in names for d in _meant(documents, name, folder, collection)}
    index.remove(list(chosen))
    return list(chosen.values())


def _meant(documents: Sequence[Document], name: str, folder: Path, collection: str) -> list[Document]:
    uri = (folder / Path(name).expanduser()).resolve().as_uri()
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
    return found
