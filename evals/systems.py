"""What is measured: anything that ranks documents and reads under a budget. Here: openbook itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from evals.corpus import COLLECTION
from rag.answer import Rag
from rag.question import Filter, Question
from rag.types import Answer, Block, Candidate, Citation, Passage, Place, Span

# A document of several passages is ranked by its best one: so many passages for each document asked for.
_PASSAGES_A_DOCUMENT = 3


@dataclass(frozen=True, slots=True)
class Extract:
    """Text that a model reads in one piece, of the document that evidence calls ``document``."""

    document: str
    text: str
    pages: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Reading:
    """``tokens`` counts all that takes the place of other text: headings too."""

    extracts: tuple[Extract, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Cited:
    """``holds``: the quotation stands in the document, word for word, at the place and within what was read."""

    document: str
    quote: str
    page: int | None
    holds: bool


@dataclass(frozen=True, slots=True)
class Said:
    """``text`` is empty where the system says that the documents do not say. ``budget`` in tokens of documents."""

    text: str
    budget: int
    citations: tuple[Cited, ...] | None = None


class Ranker(Protocol):
    @property
    def name(self) -> str: ...
    async def rank(self, query: str, limit: int) -> list[str]:
        """Documents, the best first, none twice."""
        ...


class System(Ranker, Protocol):
    async def read(self, question: str, budget: int) -> Reading: ...


@dataclass(frozen=True, slots=True)
class Openbook:
    """``names`` gives, by source, what evidence calls a document."""

    rag: Rag
    names: Mapping[str, str]
    among: Filter = field(default_factory=Filter)
    name: str = field(default="openbook", init=False)

    async def rank(self, query: str, limit: int) -> list[str]:
        question = Question(query, COLLECTION, among=self.among)
        hits = await self.rag.search(question, limit * _PASSAGES_A_DOCUMENT)
        return list(dict.fromkeys(self.named(hit.document.source) for hit in hits))[:limit]

    async def read(self, question: str, budget: int) -> Reading:
        context = await self.rag.read(Question(question, COLLECTION, max_context_tokens=budget))
        return Reading(tuple(map(self._extract, context.blocks)), context.tokens)

    async def answer(self, question: str) -> Said:
        """From as many tokens as settings and model give."""
        answer = await self.rag.answer(Question(question, COLLECTION))
        citations = await asyncio.to_thread(self._cited, answer)
        return Said(answer.text if answer.answerable else "", answer.receipt.budget_tokens, citations)

    def _extract(self, block: Block) -> Extract:
        pages = frozenset(p.page for p in block.passages if p.page is not None)
        return Extract(self.named(block.document.source), block.text, pages)

    def _cited(self, answer: Answer) -> tuple[Cited, ...]:
        index = self.rag.store.open(COLLECTION)
        documents = {citation.document_id for citation in answer.citations}
        texts = {id_: index.read(id_) for id_ in documents}
        return tuple(
            Cited(
                self.named(citation.source),
                citation.quote,
                citation.place.page,
                holds(citation, texts[citation.document_id], answer),
            )
            for citation in answer.citations
        )

    def named(self, source: str) -> str:
        return self.names.get(source, source)


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two scores alone, of which openbook's ranking is to be no worse than the better one."""

    ours: Openbook
    name: Literal["cosine", "bm25"]

    async def rank(self, query: str, limit: int) -> list[str]:
        return await asyncio.to_thread(self._ranked, query, limit)

    def _ranked(self, query: str, limit: int) -> list[str]:
        rag = self.ours.rag
        found = rag.store.open(COLLECTION).candidates(
            query, rag.embedder.embed_query(query), limit * _PASSAGES_A_DOCUMENT, self.ours.among or None
        )
        scores = [(self._score(each), each.document.source) for each in found]
        ranked = [source for score, source in sorted(scores, reverse=True) if score > 0]
        return list(dict.fromkeys(map(self.ours.named, ranked)))[:limit]

    def _score(self, found: Candidate) -> float:
        return found.cosine if self.name == "cosine" else found.bm25


def halves(ours: Openbook) -> list[Half]:
    return [Half(ours, "cosine"), Half(ours, "bm25")]


def holds(citation: Citation, passages: Sequence[Passage], answer: Answer) -> bool:
    """Whether the words of a citation stand where it says, and within what the model read."""
    span = citation.span
    within = [p for p in passages if p.start < span.end and span.start < p.end]
    text = "".join(passage.text for passage in within)
    if not within or text[span.start - within[0].start : span.end - within[0].start] != citation.quote:
        return False
    first, last = within[0], within[-1]
    begins = first.place(Span(span.start, min(span.end, first.end)))
    ends = last.place(Span(max(span.start, last.start), span.end))
    place = Place(begins.line_start, ends.line_end, first.page, first.sheet)
    of_it = [read.span for read in answer.receipt.read if read.document_id == citation.document_id]
    return place == citation.place and any(r.start <= span.start and span.end <= r.end for r in of_it)
