"""What the tools give beside the replies of REST: small, since an agent reads every token of it.

``at`` is ``path:line-line`` where that is the place in the file, else the path with a page or sheet.

What a tool gives as a whole has no slots: the MCP SDK takes those for defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.places import path_of, spot
from ingest.catalog import Size
from ingest.jobs import JobView, Pending
from ingest.report import WRITTEN, FileResult
from rag.types import Answer, Citation, Hit, Place

NOTABLE = 20  # files of a job that are named


@dataclass(frozen=True, slots=True)
class FoundPassage:
    at: str
    title: str
    section: tuple[str, ...]
    score: float
    tokens: int
    text: str
    document_id: str


@dataclass(frozen=True)
class Found:
    """Best first. ``next_offset`` is where the rest begins; None where nothing is left out."""

    passages: tuple[FoundPassage, ...]
    tokens: int
    offset: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class Cited:
    number: int
    at: str
    quote: str
    grade: str
    sentence: str


@dataclass(frozen=True)
class Asked:
    """``unsupported`` are sentences of the answer for which no support was found; ``reason`` says why there is none."""

    answer: str
    answerable: bool
    reason: str | None
    citations: tuple[Cited, ...]
    unsupported: tuple[str, ...]
    nearest: tuple[str, ...]
    read: tuple[str, ...]
    context_tokens: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Holding:
    name: str
    documents: int | None
    passages: int | None
    outdated: int
    error: str | None


@dataclass(frozen=True)
class Collections:
    collections: tuple[Holding, ...]
    jobs: tuple[Pending, ...]
    model: str
    embedder: str
    allowed_folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notable:
    name: str
    status: str
    reason: str


@dataclass(frozen=True)
class Ingested:
    """``state`` is queued or running while it goes on; ``counts`` are files by what became of them."""

    job: str
    state: str
    collection: str
    files: int | None
    files_done: int
    counts: dict[str, int]
    left_s: float | None
    error: str
    notable: tuple[Notable, ...]
    notable_in_all: int


def where(source: str, place: Place) -> str:
    return spot(source, place) or f"{path_of(source)}, {place}"


def found(hits: tuple[Hit, ...], offset: int, limit: int, budget: int) -> Found:
    """Of the hits from ``offset`` on those that fit the budget in tokens, and at least one."""
    taken: list[FoundPassage] = []
    tokens = 0
    for hit in hits[offset : offset + limit]:
        if taken and tokens + hit.passage.tokens > budget:
            break
        tokens += hit.passage.tokens
        taken.append(_passage(hit))
    end = offset + len(taken)
    return Found(tuple(taken), tokens, offset, end if end < len(hits) else None)


def _passage(hit: Hit) -> FoundPassage:
    passage = hit.passage
    at = where(hit.document.source, passage.place(passage.span))
    return FoundPassage(
        at,
        hit.document.title,
        passage.section,
        round(hit.score, 4),
        passage.tokens,
        passage.text,
        hit.document.id,
    )


def asked(answer: Answer) -> Asked:
    receipt = answer.receipt
    nearest = answer.searched.nearest if answer.searched else ()
    return Asked(
        answer.text,
        answer.answerable,
        answer.reason,
        tuple(_cited(answer.text, citation) for citation in answer.citations),
        tuple(answer.text[span.start : span.end] for span in answer.unsupported),
        tuple(where(miss.source, miss.place) for miss in nearest),
        tuple(where(read.source, read.place) for read in receipt.read),
        receipt.context_tokens,
        receipt.seconds.get("total", 0.0),
        receipt.warnings,
    )


def _cited(text: str, citation: Citation) -> Cited:
    sentence = text[citation.sentence.start : citation.sentence.end]
    return Cited(
        citation.number, where(citation.source, citation.place), citation.quote, citation.grade, sentence
    )


def holding(name: str, size: Size) -> Holding:
    return Holding(name, size.documents, size.passages, size.outdated, size.error)


def ingested(view: JobView) -> Ingested:
    job = view.job
    notable = [_notable(file) for file in view.files if file.status not in (*WRITTEN, "unchanged")]
    error = f"{job.error} {job.hint}".strip()
    return Ingested(
        job.id,
        job.state,
        job.run.collection,
        job.files,
        job.files_done,
        job.counts,
        view.left_s,
        error,
        tuple(notable[:NOTABLE]),
        len(notable),
    )


def _notable(file: FileResult) -> Notable:
    return Notable(file.name, file.status, f"{file.reason} {file.hint}".strip())
