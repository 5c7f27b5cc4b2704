"""Collections as they are shown and changed over REST."""

from __future__ import annotations

import hashlib
import hmac
import time
from dataclasses import dataclass

from api import etags
from rag.answer import Rag
from rag.collection_settings import TARGET_TTFT_MS
from rag.errors import CollectionExists, CollectionNotFound, ConfirmationNeeded, RagError
from rag.pinned import Pin
from rag.reading import read

CONFIRM_S = 600  # seconds for which a confirmation can be given


@dataclass(frozen=True, slots=True)
class CollectionView:
    """``documents`` and ``passages`` are None where it cannot be opened, as ``error`` says. Answers from it are to
    begin within ``target_ttft_ms``, if that is set; ``pinned`` documents are read first."""

    collection: str
    documents: int | None
    passages: int | None
    target_ttft_ms: int | None = None
    pinned: tuple[Pin, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CollectionList:
    collections: tuple[CollectionView, ...]


def listed(rag: Rag) -> CollectionList:
    """By name. One that is damaged does not hide the others."""
    return CollectionList(tuple(_view(rag, name) for name in rag.store.names()))


def shown(rag: Rag, collection: str) -> CollectionView:
    """Raises CollectionNotFound."""
    if collection not in (names := rag.store.names()):
        raise CollectionNotFound.of(collection, names)
    return _view(rag, collection)


def created(rag: Rag, collection: str) -> CollectionView:
    """Raises BadName and CollectionExists."""
    if collection in rag.store.names():
        raise CollectionExists.of(collection)
    rag.store.open(collection, create=True)
    return _view(rag, collection)


def _view(rag: Rag, name: str) -> CollectionView:
    target, pins = rag.collection_settings.get(name, TARGET_TTFT_MS), tuple(rag.pins.of([name]))
    try:
        documents, passages = read(rag.store, [name], lambda index: index.size())
    except RagError as error:
        return CollectionView(name, None, None, target, pins, str(error))
    return CollectionView(name, documents, passages, target, pins)


def check_confirmed(view: CollectionView, files: int, token: str, secret: str) -> None:
    """Raises ConfirmationNeeded unless ``token`` was given for just this, and lately."""
    if _is_confirmed(view, token, secret):
        return
    expires = int(time.time()) + CONFIRM_S
    lost = {"documents": view.documents or 0, "passages": view.passages or 0, "uploaded_files": files}
    said = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in lost.items())
    raise ConfirmationNeeded(
        f"Collection {view.collection!r} would be lost for good: {said}.",
        f"Repeat the request with ?confirm=TOKEN, the token of this reply, within {CONFIRM_S // 60} minutes.",
        token=f"{expires}.{_signature(view, expires, secret)}",
        would_be_lost=lost,
    )


def _is_confirmed(view: CollectionView, token: str, secret: str) -> bool:
    expires, _, signature = token.partition(".")
    if not (expires.isascii() and expires.isdigit() and int(expires) >= time.time()):
        return False
    return hmac.compare_digest(signature.encode(), _signature(view, int(expires), secret).encode())


def _signature(view: CollectionView, expires: int, secret: str) -> str:
    """Of the collection as it is: where it has changed since, what would be lost has to be said again."""
    said = f"delete\n{view.collection}\n{etags.tag_of(view)}\n{expires}"
    return hmac.new(secret.encode(), said.encode(), hashlib.sha256).hexdigest()[:32]
