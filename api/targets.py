"""The time in which answers from a collection are to begin, as it is set."""

from __future__ import annotations

from api.replies import Target
from rag.answer import Rag
from rag.collection_settings import TARGET_TTFT_MS
from rag.errors import CollectionNotFound


def target(rag: Rag, collection: str) -> Target:
    """Raises CollectionNotFound."""
    _check(rag, collection)
    return Target(collection, rag.collection_settings.get(collection, TARGET_TTFT_MS))


def set_target(rag: Rag, collection: str, ms: int | None) -> Target:
    """Durable on return; None takes it back. Raises CollectionNotFound."""
    _check(rag, collection)
    rag.collection_settings.set(collection, TARGET_TTFT_MS, ms)
    return Target(collection, ms)


def _check(rag: Rag, collection: str) -> None:
    if collection not in (there := rag.store.names()):
        raise CollectionNotFound.of(collection, there)
