"""From what is to be read to what the model reads, under a token budget. Pure.

Passages are taken in the order of rag/choice.py until the budget is spent; consecutive ones of a document become one
block. First stand the blocks that lead (rag/order.py), then the others by document, the one that is read most first, so
that prompts about the same thing begin alike.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from rag.choice import OVER_BUDGET, Choice
from rag.types import At, Block, Context, Document, Drop, Hit, Passage


class Heading(NamedTuple):
    """What stands around a block, in tokens: of the first of its document, and of each further one."""

    first: int
    again: int


def pack(
    choice: Choice,
    texts: Mapping[str, Sequence[Passage]],
    budget: int,
    headings: Mapping[str, Heading],
    lead: Sequence[Block] = (),
) -> Context:
    """What ``fill`` chooses, with what was left out."""
    return told(choice, fill(choice, texts, budget, headings, lead))


def fill(
    choice: Choice,
    texts: Mapping[str, Sequence[Passage]],
    budget: int,
    headings: Mapping[str, Heading],
    lead: Sequence[Block] = (),
) -> Context:
    """``headings`` is what the line above a block of a document costs. ``tokens`` of the result never exceed
    ``budget``. ``lead`` are blocks to begin with, as far as they fit; their numbers do not matter."""
    shelf = _Shelf(texts, headings)
    first = [block for block in lead if shelf.put(block, budget)]
    found = {hit.passage.at for hit in choice.hits}
    for place in choice.wanted:
        if place in found or shelf.touches(place):  # a neighbour that did not fit is not leapt over
            shelf.take(*place, budget)
    documents = {hit.document.id: hit.document for hit in choice.hits}
    rest = [(documents[run[0].document_id], run) for run in _most_read_first(documents, shelf.runs())]
    blocks = _blocks([*((block.document, block.passages) for block in first), *rest])
    return Context(blocks, (), shelf.tokens, budget, _ranking(choice.hits, blocks))


def told(choice: Choice, context: Context) -> Context:
    """With what of a choice is not in it, and why."""
    held = {passage.at for block in context.blocks for passage in block.passages}
    return replace(context, drops=(*_unread(choice, held), *_said(choice.repeated, held)))


def pack_whole(
    documents: Sequence[Document],
    texts: Mapping[str, Sequence[Passage]],
    budget: int,
    headings: Mapping[str, Heading],
    first: Container[str] = (),
) -> Context | None:
    """The whole corpus as one block a document, those with an id in ``first`` before others; None where it does not
    fit."""
    written = [document for document in documents if texts[document.id]]
    needed = sum(headings[d.id].first + sum(p.tokens for p in texts[d.id]) for d in written)
    if needed > budget:
        return None
    ordered = sorted(written, key=lambda document: (document.id not in first, *by_source(document)))
    blocks = _blocks([(document, texts[document.id]) for document in ordered])
    return Context(blocks=blocks, drops=(), tokens=needed, budget=budget, whole_corpus=True)


class _Shelf:
    """Which passages are taken and what they cost; every run of consecutive ones costs a heading."""

    def __init__(self, texts: Mapping[str, Sequence[Passage]], headings: Mapping[str, Heading]) -> None:
        self._texts = {id_: {p.ordinal: p for p in passages} for id_, passages in texts.items()}
        self._headings = headings
        self.taken: dict[str, set[int]] = {}
        self._put: set[At] = set()  # in blocks of their own, which nothing joins
        self._before = ""  # the document of the last of them
        self._begun: set[str] = set()  # documents of which there are others
        self.tokens = 0

    def put(self, block: Block, limit: int) -> bool:
        """Takes a whole block, if it fits."""
        heading = self._headings[block.document.id]
        cost = block.tokens + (heading.again if block.document.id == self._before else heading.first)
        if self.tokens + cost > limit:
            return False
        self._before = block.document.id
        places = [passage.at for passage in block.passages]
        self._put.update(places)
        for document_id, ordinal in places:
            self.taken.setdefault(document_id, set()).add(ordinal)
        self.tokens += cost
        return True

    def take(self, document_id: str, ordinal: int, limit: int) -> bool:
        """Takes the passage if it is there, is not taken yet and keeps the total within ``limit``."""
        passage = self._texts[document_id].get(ordinal)
        if passage is None or ordinal in self.taken.get(document_id, ()):
            return False
        if document_id not in self._begun and self.tokens + passage.tokens > limit:
            return False  # before its heading is counted: of most that are found nothing fits any more
        cost = passage.tokens + self._heading(document_id, ordinal)
        if self.tokens + cost > limit:
            return False
        self.taken.setdefault(document_id, set()).add(ordinal)
        self._begun.add(document_id)
        self.tokens += cost
        return True

    def _heading(self, document_id: str, ordinal: int) -> int:
        """Alone it begins a run, beside one run it joins it, between two it makes them one."""
        heading = self._headings[document_id]
        if document_id not in self._begun:
            return heading.first
        taken = self.taken[document_id]
        beside = sum(at in taken and (document_id, at) not in self._put for at in (ordinal - 1, ordinal + 1))
        return (1 - beside) * heading.again

    def touches(self, place: At) -> bool:
        taken = self.taken.get(place[0], ())
        return place[1] - 1 in taken or place[1] + 1 in taken

    def runs(self) -> dict[str, list[list[Passage]]]:
        """The taken passages of each document, but for blocks that were put whole, as runs of consecutive ones."""
        left = {
            document_id: sorted(o for o in ordinals if (document_id, o) not in self._put)
            for document_id, ordinals in self.taken.items()
        }
        return {
            document_id: _split([self._texts[document_id][ordinal] for ordinal in ordinals])
            for document_id, ordinals in left.items()
            if ordinals
        }


def _split(passages: list[Passage]) -> list[list[Passage]]:
    runs = [passages[:1]]
    for before, passage in pairwise(passages):
        if passage.ordinal == before.ordinal + 1:
            runs[-1].append(passage)
        else:
            runs.append([passage])
    return runs


def _most_read_first(
    documents: Mapping[str, Document], runs: Mapping[str, Sequence[Sequence[Passage]]]
) -> list[Sequence[Passage]]:
    """Prompts about the same document, or about those of one title, then begin alike, whatever else comes with them."""
    read: dict[str, int] = {}
    for id_, of_it in runs.items():
        title = documents[id_].title
        read[title] = read.get(title, 0) + sum(p.tokens for run in of_it for p in run)

    def rank(id_: str) -> tuple[int, str, str, str]:
        title = documents[id_].title
        return -read[title], title, *by_source(documents[id_])

    return [run for id_ in sorted(runs, key=rank) for run in runs[id_]]


def by_source(document: Document) -> tuple[str, str]:
    return document.source, document.id


def _blocks(runs: Sequence[tuple[Document, Sequence[Passage]]]) -> tuple[Block, ...]:
    return tuple(Block(number, document, tuple(run)) for number, (document, run) in enumerate(runs, 1))


def _unread(choice: Choice, held: Container[At]) -> Iterator[Drop]:
    wanted = set(choice.wanted)
    left: dict[tuple[str, str], list[Hit]] = {}
    for hit in choice.hits:
        if (place := hit.passage.at) not in held:
            reason = OVER_BUDGET if place in wanted else choice.unwanted
            left.setdefault((hit.document.id, reason), []).append(hit)
    for (_, reason), group in left.items():
        yield _drop(group, reason)


def _said(repeated: Sequence[tuple[Hit, Hit]], held: Container[At]) -> Iterator[Drop]:
    for hit, better in repeated:
        if hit.passage.at not in held:
            place = better.passage.place(better.passage.span)
            yield _drop([hit], f"says the same as {better.document.name}, {place}")


def _drop(hits: Sequence[Hit], reason: str) -> Drop:
    return Drop(
        document_id=hits[0].document.id,
        title=hits[0].document.title,
        ordinals=tuple(sorted(hit.passage.ordinal for hit in hits)),
        tokens=sum(hit.passage.tokens for hit in hits),
        reason=reason,
    )


def _ranking(hits: Sequence[Hit], blocks: Sequence[Block]) -> tuple[int, ...]:
    """Block numbers, the one with the best hit first."""
    holder = {p.at: block.number for block in blocks for p in block.passages}
    ranked = (holder.get(hit.passage.at) for hit in hits)
    return tuple(dict.fromkeys(number for number in ranked if number is not None))
