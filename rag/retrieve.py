"""A question to hits: search, fuse, follow what is named, weigh documents, rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rag import filters, fuse, links
from rag.ports import Reader, Reranker, Vectors
from rag.question import Filter
from rag.types import Document, Hit

# The best hits are read for the names of other documents. How many of them, and what a name is worth, was measured on
# questions that need two documents (docs/log.md). No more than this of a named document comes forward.
READ, NAMED_BY_QUESTION, NAMED_BY_HIT = 3, 0.1, 0.15
NAMED, PASSAGES = 20, 2
RERANKED = 50  # hits that a cross-encoder scores


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; ``vector`` is the question's. At most ``limit`` hits."""

    question: str
    vector: Vectors
    limit: int
    among: Filter | None = None


def retrieve(index: Reader, search: Search, reranker: Reranker | None = None) -> list[Hit]:
    """Best first."""
    hits = fuse.fuse(index.candidates(search.question, search.vector, search.limit, search.among))
    said = links.mentions(search.question)
    named = links.meant(index.named(said), said)
    hits = _forward(index, search, hits, {d.id: (d, "") for d in named}, NAMED_BY_QUESTION)
    hits = _forward(index, search, hits, _named_by(index, hits[:READ]), NAMED_BY_HIT)
    hits = fuse.with_documents(hits)
    if reranker and hits:
        hits = _reranked(reranker, search.question, hits)
    return hits[: search.limit]


def _named_by(index: Reader, hits: Sequence[Hit]) -> dict[str, tuple[Document, str]]:
    """By id, the documents that these passages name and the title of the one that does."""
    said = {hit.passage.id: set(links.mentions(hit.passage.text)) for hit in hits}
    found: dict[str, tuple[Document, str]] = {}
    names = set().union(*said.values())
    for document in links.meant(index.named(sorted(names)), names):
        called = set(links.names(document))
        by = (hit for hit in hits if hit.document.id != document.id and called & said[hit.passage.id])
        if (first := next(by, None)) is not None:
            found[document.id] = document, first.document.title
    return found


def _forward(
    index: Reader, search: Search, hits: list[Hit], named: Mapping[str, tuple[Document, str]], worth: float
) -> list[Hit]:
    """The hits with the best passages of the named documents raised by ``worth``, found before or not."""
    ids = [id_ for id_, (d, _) in named.items() if not search.among or filters.admits(search.among, d)][
        :NAMED
    ]
    if not ids:
        return hits
    best = fuse.fuse(
        index.candidates(search.question, search.vector, 2 * PASSAGES * len(ids), search.among, ids)
    )
    known = {hit.passage.id: hit for hit in hits}
    raised: dict[str, int] = {}
    for hit in best:
        raised[hit.document.id] = raised.get(hit.document.id, 0) + 1
        if raised[hit.document.id] <= PASSAGES:
            before = known.get(hit.passage.id, hit)
            by = before.via or named[hit.document.id][1]
            known[hit.passage.id] = replace(before, score=before.score + worth, via=by)
    return fuse.ranked(known.values())


def _reranked(reranker: Reranker, question: str, hits: Sequence[Hit]) -> list[Hit]:
    """The best in the order of the cross-encoder, then the others as they were. Each takes the fused score of the place
    that it now stands at: what a cross-encoder's own is a measure of differs from one to the next."""
    first, rest = hits[:RERANKED], hits[RERANKED:]
    scores = reranker.score(question, [hit.passage.text for hit in first])
    best = sorted(zip(scores, first, strict=True), key=lambda pair: -pair[0])
    return [*(replace(hit, score=at.score) for (_, hit), at in zip(best, first, strict=True)), *rest]
