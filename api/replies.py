"""Replies of the REST interface that the command line gives too: dataclasses, as the values of rag are."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.catalog import Size
from rag.types import Hit


@dataclass(frozen=True, slots=True)
class SearchReply:
    collection: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """``url`` is None where no service runs."""

    version: str
    pid: int
    data_dir: str
    url: str | None
    model: str
    embedder: str
    collections: dict[str, Size]
