"""A question to hits: search, fuse, follow what is named, weigh documents, rerank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rag import crowd, filters, fuse, links
from rag.code import bearing
from rag.code.codebase import Codebase, Symbol
from rag.ports import Reader, Reranker, Vectors
from rag.question import Filter
from rag.types import Document, Hit

# The best hits are read for the names of other documents. How many of them, and what a name is worth, was measured on
# questions that need two documents (docs/log.md). No more than this of a named document comes forward.
READ, NAMED_BY_QUESTION, NAMED_BY_HIT = 3, 0.1, 0.15
NAMED, PASSAGES = 20, 2
FILES = 40  # of code, that come forward because of what they define or use
RERANKED = 50  # hits that a cross-encoder scores


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; ``vector`` is the question's. At most ``limit`` hits."""

    question: str
    vector: Vectors
    limit: int
    among: Filter | None = None


def retrieve(
    index: Reader, search: Search, reranker: Reranker | None = None, codebase: Codebase | None = None
) -> list[Hit]:
    """Best first. ``codebase`` is of the same collections."""
    in_code = codebase is not None and bool(codebase.documents)
    loss = crowd.loss_in_code(search.question) if in_code else 0.0
    # What else is found weighs the best ones, so that few are found as they would be among many.
    limit = max(search.limit, crowd.LOOKED_AT) if loss else search.limit
    found = index.candidates(search.question, search.vector, limit, search.among)
    hits = fuse.fuse(found, search.question)
    if loss:
        code = [hit for hit in hits if hit.document.code][: crowd.LOOKED_AT]
        hits = fuse.ranked(crowd.dispersed(hits, index.dense([hit.passage for hit in code]), loss))
    if codebase and in_code:
        hits = _by_code(index, search, hits, codebase)
    said = links.mentions(search.question)
    named = links.meant(index.named(said), said)
    hits = _forward(index, search, hits, {d.id: (d, "") for d in named}, NAMED_BY_QUESTION)
    hits = _forward(index, search, hits, _named_by(index, hits[:READ]), NAMED_BY_HIT)
    hits = fuse.with_documents(hits)
    if reranker and hits:
        hits = _reranked(reranker, search.question, hits)
    return hits[: search.limit]


def _by_code(index: Reader, search: Search, hits: list[Hit], codebase: Codebase) -> list[Hit]:
    """The hits with what defines and uses the names in the question, and with what hangs together with the best."""
    named = bearing.of_names(codebase, search.question)
    symbols = [(codebase.symbols[number], worth) for number, worth in named.symbols.items()]
    hits = _with_definitions(index, hits, symbols, search.among or Filter())
    hits = raised(index, search, hits, _admitted(search, codebase, named.files))
    best = list(dict.fromkeys(hit.document.id for hit in hits))
    around = bearing.of_neighbours(codebase, best, named.symbols)
    return raised(index, search, hits, _admitted(search, codebase, around))


def _admitted(search: Search, codebase: Codebase, files: Mapping[str, float]) -> dict[str, float]:
    """Those that are worth most, of what the filter admits."""
    ids = sorted(files, key=lambda id_: (-files[id_], id_))
    wanted = (id_ for id_ in ids if not search.among or filters.admits(search.among, codebase.document(id_)))
    return {id_: files[id_] for id_ in islice(wanted, FILES)}


def _with_definitions(
    index: Reader, hits: list[Hit], symbols: Sequence[tuple[Symbol, float]], among: Filter
) -> list[Hit]:
    """The passages in which these definitions begin raised by what each is worth, found before or not."""
    known = {hit.passage.id: hit for hit in hits}
    least = hits[-1].score if hits else 0.0
    for symbol, worth in symbols:
        if not filters.admits(among, symbol.document):
            continue
        for passage in index.read(symbol.document.id):
            if passage.start <= symbol.definition.start < passage.end and filters.admits_passage(
                among, passage
            ):
                before = known.get(passage.id) or Hit(symbol.document, passage, least)
                known[passage.id] = replace(before, score=before.score + worth)
    return fuse.ranked(known.values())


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
    """The hits with the best passages of the named documents raised by ``worth``."""
    admitted = [id_ for id_, (d, _) in named.items() if not search.among or filters.admits(search.among, d)][
        :NAMED
    ]
    return raised(
        index, search, hits, dict.fromkeys(admitted, worth), {id_: named[id_][1] for id_ in admitted}
    )


def raised(
    index: Reader,
    search: Search,
    hits: list[Hit],
    documents: Mapping[str, float],
    via: Mapping[str, str] | None = None,
) -> list[Hit]:
    """The hits with the best passages of ``documents``, which the filter admits, raised by what is given for each,
    found before or not."""
    if not documents:
        return hits
    ids = list(documents)
    found = index.candidates(search.question, search.vector, 2 * PASSAGES * len(ids), search.among, ids)
    best = fuse.fuse(found, search.question)
    known = {hit.passage.id: hit for hit in hits}
    done: dict[str, int] = {}
    for hit in best:
        id_ = hit.document.id
        done[id_] = done.get(id_, 0) + 1
        if done[id_] <= PASSAGES:
            before = known.get(hit.passage.id, hit)
            by = before.via or (via or {}).get(id_, "")
            known[hit.passage.id] = replace(before, score=before.score + documents[id_], via=by)
    return fuse.ranked(known.values())


def _reranked(reranker: Reranker, question: str, hits: Sequence[Hit]) -> list[Hit]:
    """The best in the order of the cross-encoder, then the others as they were. Each takes the fused score of the place
    that it now stands at: what a cross-encoder's own is a measure of differs from one to the next."""
    first, rest = hits[:RERANKED], hits[RERANKED:]
    scores = reranker.score(question, [hit.passage.text for hit in first])
    best = sorted(zip(scores, first, strict=True), key=lambda pair: -pair[0])
    return [*(replace(hit, score=at.score) for (_, hit), at in zip(best, first, strict=True)), *rest]
