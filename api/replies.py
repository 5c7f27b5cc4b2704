"""Replies of the REST interface that the command line gives too: dataclasses, as the values of rag are."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.catalog import Size
from ingest.jobs import Pending
from rag.conversations import Summary
from rag.pinned import Pin
from rag.types import Hit
from rag.warm import Warmed


@dataclass(frozen=True, slots=True)
class SearchReply:
    collection: str | tuple[str, ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class ConversationList:
    conversations: tuple[Summary, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Milliseconds in which answers from the collection are to begin; None where it has no target."""

    collection: str
    target_ttft_ms: int | None


@dataclass(frozen=True, slots=True)
class PinnedList:
    collection: str
    pinned: tuple[Pin, ...]


@dataclass(frozen=True, slots=True)
class WarmReport:
    warmed: tuple[Warmed, ...]


@dataclass(frozen=True, slots=True)
class ModelState:
    """A model by its name; ``detail`` says what is served, or why it does not answer. ``url`` and ``restarts`` are of
    a server that the service runs itself."""

    name: str
    ok: bool
    detail: str
    url: str | None = None
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """``url`` is None where no service runs, ``model_url`` where it runs no model server of its own; ``jobs`` are those
    that run or wait for a service, ``warm_tokens`` what was prefilled beforehand and is in the model server's cache.
    ``models`` are all that may be named, where there are several. ``embedder_problem`` says why nothing can be embedded
    now, and is empty where it can."""

    version: str
    pid: int
    data_dir: str
    url: str | None
    model: str
    embedder: str
    collections: dict[str, Size]
    jobs: tuple[Pending, ...] = ()
    model_url: str | None = None
    warm_tokens: int | None = None
    models: tuple[ModelState, ...] = ()
    embedder_problem: str = ""
