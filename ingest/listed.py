"""The documents of a collection a page at a time, of those that are wanted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from rag.types import Document

Sort = Literal[
    "source", "-source", "title", "-title", "modified", "-modified", "ingested", "-ingested", "size", "-size",
    "tokens", "-tokens",
]  # fmt: skip

_KEYS: dict[str, Callable[[Document], Any]] = {
    "source": lambda document: document.source,
    "title": lambda document: document.title.casefold(),
    "modified": lambda document: document.modified_at,
    "ingested": lambda document: document.ingested_at,
    "size": lambda document: document.characters,
    "tokens": lambda document: document.tokens,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Each condition that is given must hold. ``name`` is part of a document's name or title, or a glob of its path or
    of the end of that; ``media_type`` may be a glob; ``code`` "*" means any programming language. A file whose time is
    not known was not ``modified_since``."""

    name: str = ""
    media_type: str = ""
    language: str = ""
    code: str = ""
    modified_since: datetime | None = None

    def admits(self, document: Document) -> bool:
        return (
            (not self.name or _is_called(self.name.casefold(), document))
            and (not self.media_type or fnmatchcase(document.media_type, self.media_type.casefold()))
            and self.language in ("", document.language)
            and (self.code in ("", document.code) or (self.code == "*" and bool(document.code)))
            and (self.modified_since is None or _is_since(document.modified_at, self.modified_since))
        )


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Of ``total`` documents those from ``offset`` on."""

    collection: str
    total: int
    offset: int
    documents: tuple[Document, ...]


def page(
    collection: str, documents: Sequence[Document], wanted: Wanted, sort: Sort, offset: int, limit: int
) -> DocumentPage:
    found = [document for document in documents if wanted.admits(document)]
    found.sort(key=lambda document: document.id)  # equal ones keep an order from page to page
    found.sort(key=_KEYS[sort.removeprefix("-")], reverse=sort.startswith("-"))
    return DocumentPage(collection, len(found), offset, tuple(found[offset : offset + limit]))


def _is_called(name: str, document: Document) -> bool:
    if any(sign in name for sign in "*?["):
        path = unquote(urlsplit(document.source).path).casefold()
        if fnmatchcase(path, name) or fnmatchcase(path, f"*/{name}"):
            return True
    return name in document.name.casefold() or name in document.title.casefold()


def _is_since(modified_at: str, since: datetime) -> bool:
    return bool(modified_at) and datetime.fromisoformat(modified_at) >= _utc(since)


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
