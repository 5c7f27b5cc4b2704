"""A collection gets another name: its settings with a note of it, then the store in one step; the note goes last.

Ids of documents and the files that it was sent stay what they are, since they go by what CollectionSettings.identity
says. Whatever ends the process in between, the next one that opens the data folder brings it to its end.
"""

from __future__ import annotations

from rag.collection_settings import CollectionSettings
from rag.errors import CollectionExists, CollectionNotFound, StoreUnavailable
from rag.ports import Store
from rag.store.points import check_name


def rename(store: Store, settings: CollectionSettings, old: str, new: str) -> None:
    """Durable on return. Raises CollectionNotFound, CollectionExists, BadName and StoreUnavailable."""
    finish_renaming(store, settings)
    names = store.names()
    if old not in names:
        raise CollectionNotFound.of(old, names)
    if check_name(new) in names:
        raise CollectionExists.of(new)
    settings.begin_renaming(old, new)
    try:
        store.rename(old, new)
    except StoreUnavailable:
        if old in store.names():  # else it was done, though the reply was lost
            settings.begin_renaming(new, old)
            settings.end_renaming()
            raise
    settings.end_renaming()


def finish_renaming(store: Store, settings: CollectionSettings) -> None:
    """What a process before has left half done."""
    if begun := settings.renaming():
        old, new = begun
        names = store.names()
        if old in names and new not in names:
            store.rename(old, new)
        settings.end_renaming()
