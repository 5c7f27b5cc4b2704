"""From hits to what the model reads, under a token budget. Pure.

Passages are taken by their worth until the budget is spent, best first; consecutive ones of a document become one
block; blocks stand in the order of (source, position), which does not depend on the question, so that prompts begin
alike. What a passage is worth is the policy:

``passages``   hits alone, by rank.
``sections``   each hit with its section, as far as that fits.
``documents``  each hit with its document, as far as that fits.
``auto``       hits by rank, but a second one of a page or section waits for first ones of others; and what stands
               between and around good hits is worth something too, so that a place with many hits grows together.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from rag.duplicates import without_duplicates
from rag.types import Block, Context, Document, Drop, Hit, Passage, Policy

# What a further hit of the same page or section loses, in units of score, once and at most; and what is left of a
# hit's worth from one neighbour to the next. Measured as recall of evidence under equal budgets (docs/log.md).
AGAIN, AGAIN_AT_MOST = 0.15, 0.3
FADE, FADE_BACK = 0.2, 0.19  # what follows explains more often than what comes before
GROWTH = 32  # neighbours on either side of a hit
FADES = tuple(
    (step, tuple(fade**distance for distance in range(1, GROWTH + 1)))
    for step, fade in ((1, FADE), (-1, FADE_BACK))
)

Place = tuple[str, int]  # a passage: its document's id and its ordinal


class Heading(NamedTuple):
    """What stands around a block, in tokens: of the first of its document, and of each further one."""

    first: int
    again: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be read for a question, however much of it a budget lets be: hits, each with something to say;
    those that repeat a better one, with that; and passages in the order in which they are to be taken."""

    hits: Sequence[Hit]
    repeated: Sequence[tuple[Hit, Hit]]
    wanted: Sequence[Place]


def choose(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]], policy: Policy = "auto") -> Choice:
    """``texts`` holds, by document id, the passages that may be read, in order: those of ``hits`` and whatever is known
    around them."""
    once, repeated = without_duplicates(_once(hits))
    return Choice(once, repeated, list(_wanted(once, texts, policy)))


def pack(
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
    found = set(map(_place, choice.hits))
    for place in choice.wanted:
        if place in found or shelf.touches(place):  # a neighbour that did not fit is not leapt over
            shelf.take(*place, budget)
    documents = {hit.document.id: hit.document for hit in choice.hits}
    rest = [(documents[run[0].document_id], run) for run in _most_read_first(documents, shelf.runs())]
    blocks = _blocks([*((block.document, block.passages) for block in first), *rest])
    return Context(
        blocks=blocks,
        drops=(*_unread(choice.hits, shelf), *_said(choice.repeated, shelf)),
        tokens=shelf.tokens,
        budget=budget,
        ranking=_ranking(choice.hits, blocks),
    )


def _once(hits: Sequence[Hit]) -> list[Hit]:
    once: dict[Place, Hit] = {}
    for hit in hits:
        once.setdefault(_place(hit), hit)
    return list(once.values())


def _place(hit: Hit) -> Place:
    return hit.document.id, hit.passage.ordinal


def _wanted(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]], policy: Policy) -> Iterator[Place]:
    """Passages in the order in which they are to be taken; the same one may come twice."""
    if policy == "auto":
        yield from _by_worth(hits, texts)
        return
    for hit in hits:
        yield _place(hit)
        if policy != "passages":
            yield from _around(hit, texts[hit.document.id], policy)


def _around(hit: Hit, passages: Sequence[Passage], policy: Policy) -> Iterator[Place]:
    """The rest of the hit's section or document, from the hit outwards, what follows first."""
    at = next((i for i, p in enumerate(passages) if p.ordinal == hit.passage.ordinal), None)
    if at is None:
        return
    fits = [policy == "documents" or p.section == hit.passage.section for p in passages]
    ways = {+1: at, -1: at}
    while ways:
        for step in list(ways):
            ways[step] += step
            if 0 <= ways[step] < len(passages) and fits[ways[step]]:
                yield hit.document.id, passages[ways[step]].ordinal
            else:
                del ways[step]


def _by_worth(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]]) -> list[Place]:
    known = {id_: {passage.ordinal for passage in passages} for id_, passages in texts.items()}
    worth: dict[Place, float] = {}
    around: dict[Place, float] = {}
    for hit, own in zip(hits, _relative(_spread(hits)), strict=True):
        worth[_place(hit)] = own
        id_, ordinal = hit.document.id, hit.passage.ordinal
        for step, fades in FADES:
            for distance, fade in enumerate(fades, 1):
                at = ordinal + step * distance
                if at not in known[id_]:
                    break
                around[id_, at] = around.get((id_, at), 0.0) + own * fade
    for place, left in around.items():
        worth[place] = max(worth.get(place, 0.0), left)
    rank = {_place(hit): at for at, hit in enumerate(hits)}
    # Of equal worth: the better hit, then the earlier text.
    return sorted(worth, key=lambda place: (-worth[place], rank.get(place, len(hits)), place))


def _spread(hits: Sequence[Hit]) -> list[float]:
    """Scores, less for a hit whose page or section has had better ones."""
    seen: dict[tuple[object, ...], int] = {}
    scores = []
    for hit in hits:
        place = (hit.document.id, hit.passage.page, hit.passage.sheet) + (
            () if hit.passage.page is not None else hit.passage.section
        )
        before = seen.get(place, 0)
        seen[place] = before + 1
        scores.append(hit.score - min(AGAIN * before, AGAIN_AT_MOST))
    return scores


def _relative(scores: Sequence[float]) -> list[float]:
    """From 1 for the best to a little above 0 for the worst."""
    if not scores:
        return []
    best, worst = max(scores), min(scores)
    return [(score - worst + 1e-6) / (best - worst + 1e-6) for score in scores]


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
        self._put: set[Place] = set()  # in blocks of their own, which nothing joins
        self._begun: set[str] = set()  # documents of which there are others
        self.tokens = 0

    def put(self, block: Block, limit: int) -> bool:
        """Takes a whole block, if it fits."""
        cost = self._headings[block.document.id].first + block.tokens
        if self.tokens + cost > limit:
            return False
        places = [(passage.document_id, passage.ordinal) for passage in block.passages]
        self._put.update(places)
        for document_id, ordinal in places:
            self.taken.setdefault(document_id, set()).add(ordinal)
        self.tokens += cost
        return True

    def take(self, document_id: str, ordinal: int, limit: int) -> bool:
        """Takes the passage if it is there, is not taken yet and keeps the total within ``limit``."""
        taken = self.taken.get(document_id, set())
        if ordinal in taken or ordinal not in self._texts[document_id]:
            return False
        neighbours = sum(
            at in taken and (document_id, at) not in self._put for at in (ordinal - 1, ordinal + 1)
        )
        # Alone it begins a run, beside one run it joins it, between two it makes them one.
        heading = self._headings[document_id]
        runs = (1 - neighbours) * heading.again if document_id in self._begun else heading.first
        cost = self._texts[document_id][ordinal].tokens + runs
        if self.tokens + cost > limit:
            return False
        self.taken.setdefault(document_id, set()).add(ordinal)
        self._begun.add(document_id)
        self.tokens += cost
        return True

    def holds(self, place: Place) -> bool:
        return place[1] in self.taken.get(place[0], ())

    def touches(self, place: Place) -> bool:
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


def _unread(hits: Sequence[Hit], shelf: _Shelf) -> Iterator[Drop]:
    left: dict[str, list[Hit]] = {}
    for hit in hits:
        if not shelf.holds(_place(hit)):
            left.setdefault(hit.document.id, []).append(hit)
    for group in left.values():
        yield _drop(group, "over the token budget")


def _said(repeated: Sequence[tuple[Hit, Hit]], shelf: _Shelf) -> Iterator[Drop]:
    for hit, better in repeated:
        if not shelf.holds(_place(hit)):
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
    holder = {(p.document_id, p.ordinal): block.number for block in blocks for p in block.passages}
    ranked = (holder.get((hit.document.id, hit.passage.ordinal)) for hit in hits)
    return tuple(dict.fromkeys(number for number in ranked if number is not None))
