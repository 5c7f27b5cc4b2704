"""From hits to what the model reads, under a token budget. Pure.

The best hit that fits is always taken, then passages in the order of their rank until ``HIT_SHARE`` of the
budget is spent; the rest goes to their neighbours, ring by ring, since the words around a hit are what makes it
readable; what then still remains goes to further hits. Consecutive passages of a document become one block;
blocks stand in the order of (source, position), which does not depend on the question, so that prompts begin
alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from rag.types import Block, Context, Document, Drop, Hit, Passage

HIT_SHARE = 0.6


def pack(
    hits: Sequence[Hit],
    texts: Mapping[str, Sequence[Passage]],
    budget: int,
    header_tokens: Mapping[str, int],
) -> Context:
    """``texts`` holds, by document id, the passages that may be read, in order: those of ``hits`` and whatever
    is known around them. ``header_tokens`` is what the line above a block of a document costs. ``tokens`` of the
    result never exceed ``budget``."""
    once: dict[tuple[str, int], Hit] = {}
    for hit in hits:
        once.setdefault((hit.document.id, hit.passage.ordinal), hit)
    hits = list(once.values())
    documents = {hit.document.id: hit.document for hit in hits}
    shelf = _Shelf(texts, header_tokens)
    # Of a small budget the best hit alone may take more than the share; without this, less relevant ones would.
    next((hit for hit in hits if shelf.take(hit.document.id, hit.passage.ordinal, budget)), None)
    for hit in hits:
        shelf.take(hit.document.id, hit.passage.ordinal, int(budget * HIT_SHARE))
    _grow(shelf, hits, budget)
    for hit in hits:
        shelf.take(hit.document.id, hit.passage.ordinal, budget)
    blocks = _blocks(documents, shelf.runs())
    return Context(
        blocks=blocks,
        drops=_drops(hits, shelf),
        tokens=shelf.tokens,
        budget=budget,
        ranking=_ranking(hits, blocks),
    )


def pack_whole(
    documents: Sequence[Document],
    texts: Mapping[str, Sequence[Passage]],
    budget: int,
    header_tokens: Mapping[str, int],
) -> Context | None:
    """The whole corpus as one block a document, or None where it does not fit."""
    written = [document for document in documents if texts[document.id]]
    needed = sum(header_tokens[d.id] + sum(p.tokens for p in texts[d.id]) for d in written)
    if needed > budget:
        return None
    blocks = _blocks({d.id: d for d in written}, {d.id: [list(texts[d.id])] for d in written})
    return Context(blocks=blocks, drops=(), tokens=needed, budget=budget, whole_corpus=True)


class _Shelf:
    """Which passages are taken and what they cost; every run of consecutive ones costs a header."""

    def __init__(self, texts: Mapping[str, Sequence[Passage]], header_tokens: Mapping[str, int]) -> None:
        self._texts = {id_: {p.ordinal: p for p in passages} for id_, passages in texts.items()}
        self._header = header_tokens
        self.taken: dict[str, set[int]] = {}
        self.tokens = 0

    def take(self, document_id: str, ordinal: int, limit: int) -> bool:
        """Takes the passage if it is there, is not taken yet and keeps the total within ``limit``."""
        taken = self.taken.get(document_id, set())
        if ordinal in taken or ordinal not in self._texts[document_id]:
            return False
        neighbours = (ordinal - 1 in taken) + (ordinal + 1 in taken)
        # Alone it begins a run, beside one run it joins it, between two it makes them one.
        cost = self._texts[document_id][ordinal].tokens + (1 - neighbours) * self._header[document_id]
        if self.tokens + cost > limit:
            return False
        self.taken.setdefault(document_id, set()).add(ordinal)
        self.tokens += cost
        return True

    def runs(self) -> dict[str, list[list[Passage]]]:
        """The taken passages of each document as runs of consecutive ones, in order."""
        return {
            document_id: _split([self._texts[document_id][ordinal] for ordinal in sorted(ordinals)])
            for document_id, ordinals in self.taken.items()
        }


def _split(passages: list[Passage]) -> list[list[Passage]]:
    runs = [passages[:1]]
    for before, passage in pairwise(passages):
        if passage.ordinal == before.ordinal + 1:
            runs[-1].append(passage)
        else:
            runs.append([passage])
    return runs


def _grow(shelf: _Shelf, hits: Sequence[Hit], budget: int) -> None:
    """Takes neighbours of the taken hits, nearest first and by rank within a ring, until nothing more fits."""
    centres = [hit for hit in hits if hit.passage.ordinal in shelf.taken.get(hit.document.id, ())]
    ring = 1
    while centres:
        # A centre whose ring gave nothing, for want of text or of room, grows no further.
        centres = [hit for hit in centres if _take_ring(shelf, hit, ring, budget)]
        ring += 1


def _take_ring(shelf: _Shelf, hit: Hit, ring: int, budget: int) -> bool:
    document_id, ordinal = hit.document.id, hit.passage.ordinal
    taken = shelf.taken[document_id]
    # What follows explains more often: first. A neighbour that did not fit is not leapt over.
    after = ordinal + ring - 1 in taken and shelf.take(document_id, ordinal + ring, budget)
    before = ordinal - ring + 1 in taken and shelf.take(document_id, ordinal - ring, budget)
    return after or before


def _blocks(documents: Mapping[str, Document], runs: Mapping[str, list[list[Passage]]]) -> tuple[Block, ...]:
    ordered = sorted(runs, key=lambda document_id: (documents[document_id].source, document_id))
    flat = [(documents[document_id], run) for document_id in ordered for run in runs[document_id]]
    return tuple(Block(number, document, tuple(run)) for number, (document, run) in enumerate(flat, 1))


def _drops(hits: Sequence[Hit], shelf: _Shelf) -> tuple[Drop, ...]:
    left: dict[str, list[Hit]] = {}
    for hit in hits:
        if hit.passage.ordinal not in shelf.taken.get(hit.document.id, ()):
            left.setdefault(hit.document.id, []).append(hit)
    return tuple(
        Drop(
            document_id=document_id,
            title=group[0].document.title,
            ordinals=tuple(sorted(hit.passage.ordinal for hit in group)),
            tokens=sum(hit.passage.tokens for hit in group),
            reason="over the token budget",
        )
        for document_id, group in left.items()
    )


def _ranking(hits: Sequence[Hit], blocks: Sequence[Block]) -> tuple[int, ...]:
    """Block numbers, the one with the best hit first."""
    holder = {(p.document_id, p.ordinal): block.number for block in blocks for p in block.passages}
    ranked = (holder.get((hit.document.id, hit.passage.ordinal)) for hit in hits)
    return tuple(dict.fromkeys(number for number in ranked if number is not None))
