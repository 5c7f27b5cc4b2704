"""What the service replies, where it is not a value of rag.types. A field that a newer service adds is passed over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ingest.listed import DocumentPage as DocumentPage
from ingest.report import FileResult
from ingest.report import Removal as Removal
from rag.types import Answer, Drop, Hit, Read, Receipt


@dataclass(frozen=True, slots=True)
class Pin:
    id: str
    source: str


@dataclass(frozen=True, slots=True)
class Collection:
    """``documents`` and ``passages`` are None where it cannot be opened, as ``error`` says."""

    collection: str
    documents: int | None
    passages: int | None
    target_ttft_ms: int | None = None
    pinned: tuple[Pin, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Collections:
    collections: tuple[Collection, ...]


@dataclass(frozen=True, slots=True)
class Hits:
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class ContextBlock:
    """Consecutive passages of one document: where they stand, and their words."""

    read: Read
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """Blocks as they would stand in a prompt; ``tokens`` of at most ``budget``."""

    blocks: tuple[ContextBlock, ...]
    dropped: tuple[Drop, ...]
    tokens: int
    budget: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """The question's place, 1 is next, 0 its turn; and the seconds until then."""

    position: int
    start_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model reads from now on."""

    receipt: Receipt
    searched_for: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer."""

    text: str


Event = Waiting | Reading | Piece | Answer
EVENTS: dict[str, type] = {"waiting": Waiting, "reading": Reading, "piece": Piece, "answer": Answer}


@dataclass(frozen=True, slots=True)
class Job:
    """``counts`` are files by status. Times are ISO 8601, UTC."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    created_at: str = ""
    ended_at: str = ""
    files: int | None = None
    bytes: int | None = None
    files_done: int = 0
    bytes_done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    now: str = ""
    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """``left_s``: seconds that the rest will take, where that is known; ``files``: what happened to each so far."""

    job: Job
    left_s: float | None = None
    files: tuple[FileResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Jobs:
    jobs: tuple[JobView, ...]


JOB_EVENTS: dict[str, type] = {"file": FileResult, "progress": JobView, "job": JobView}


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    created_at: str
    used_at: str
    turns: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Conversations:
    conversations: tuple[Conversation, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    answer: Answer


@dataclass(frozen=True, slots=True)
class Transcript:
    conversation: Conversation
    turns: tuple[Turn, ...]
