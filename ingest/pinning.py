"""Pinning documents by the names that people give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ingest.catalog import named
from rag.errors import BadRequest
from rag.pinned import Pin, Pins
from rag.ports import Store
from rag.reading import read
from rag.types import Document


def pin(store: Store, pins: Pins, collection: str, names: Sequence[str], folder: Path) -> list[Pin]:
    """What is pinned then. What each name means is settled before anything is pinned; of a folder it is what lies below
    it now. Raises DocumentNotFound, CollectionNotFound, BadRequest."""
    pins.add(collection, meant(store, collection, names, folder))
    return pins.of([collection])


def meant(store: Store, collection: str, names: Sequence[str], folder: Path) -> list[Document]:
    """The documents that are named; of a folder those that lie below it now. Raises as ``pin`` does."""
    if not names:
        return []
    documents = read(store, [collection], lambda index: index.documents())
    return [document for name in names for document in named(documents, name, folder, collection)[0]]


def unpin(
    pins: Pins, collection: str, names: Sequence[str], folder: Path, *, everything: bool = False
) -> list[Pin]:
    """What is still pinned then; a document may have gone before. Raises DocumentNotFound, BadRequest."""
    if bool(names) == everything:
        raise BadRequest(
            "Nothing was named to unpin, or both names and --all.", "Name pinned documents, or use --all."
        )
    pinned = pins.of([collection])
    gone = pinned if everything else [p for name in names for p in named(pinned, name, folder, collection)[0]]
    pins.remove(collection, {pin.id for pin in gone})
    return pins.of([collection])
