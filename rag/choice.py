"""What is read for a question, in the order in which it is taken, whatever the budget. Pure.

Passages are taken by their worth, best first. What a passage is worth is the policy:

``passages``   hits alone, by rank.
``sections``   each hit with its section, as far as that fits.
``documents``  each hit with its document, as far as that fits.
``auto``       hits by rank, but a second one of a page or section waits for first ones of others; and what stands
               between and around good hits is worth something too, so that a place with many hits grows together.
               A short page or section is read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rag.duplicates import without_duplicates
from rag.question import Policy
from rag.types import At, Hit, Passage

# What a further hit of the same page or section loses, in units of score, once and at most; and what is left of a
# hit's worth from one neighbour to the next. Measured as recall of evidence under equal budgets (docs/log.md).
AGAIN, AGAIN_AT_MOST = 0.15, 0.3
FADE, FADE_BACK = 0.2, 0.19  # what follows explains more often than what comes before
GROWTH = 32  # neighbours on either side of a hit
# What is left from one passage to the next of a page or section of at most LITTLE tokens, which is best read whole.
WITHIN, LITTLE = 0.7, 500
NEAR = 0.87  # of the best score, for what a follow-up adds
OVER_BUDGET = "over the token budget"

# A document's id, and a page, or a sheet and a section, of it.
Region = tuple[str, int | None, str | None, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be read for a question, however much of it a budget lets be: hits, each with something to say;
    those that repeat a better one, with that; and passages in the order in which they are to be taken."""

    hits: Sequence[Hit]
    repeated: Sequence[tuple[Hit, Hit]]
    wanted: Sequence[At]
    unwanted: str = OVER_BUDGET  # why a hit that is not wanted is not read


def choose(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]], policy: Policy = "auto") -> Choice:
    """``texts`` holds, by document id, the passages that may be read, in order: those of ``hits`` and whatever is known
    around them."""
    once, repeated = without_duplicates(_once(hits))
    return Choice(once, repeated, list(_wanted(once, texts, policy)))


def nearest(choice: Choice, texts: Mapping[str, Sequence[Passage]]) -> Choice:
    """Only what is about as near as the nearest, and the rest of a short page or section of it: for a follow-up, which
    has what was read before it."""
    best = max((hit.score for hit in choice.hits), default=0.0)
    least = best - (1 - NEAR) * abs(best)  # a reranker's scores may lie below zero
    little = _little(texts)
    wanted: dict[At, None] = {}
    for hit in choice.hits:
        if hit.score >= least:
            wanted[hit.passage.at] = None
            region = _region(hit.passage)
            if region in little:
                wanted |= dict.fromkeys(p.at for p in texts[hit.document.id] if _region(p) == region)
    return replace(choice, wanted=list(wanted), unwanted="not as near as what is read for the follow-up")


def _once(hits: Sequence[Hit]) -> list[Hit]:
    once: dict[At, Hit] = {}
    for hit in hits:
        once.setdefault(hit.passage.at, hit)
    return list(once.values())


def _wanted(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]], policy: Policy) -> Iterator[At]:
    """Passages in the order in which they are to be taken; the same one may come twice."""
    if policy == "auto":
        yield from _by_worth(hits, texts)
        return
    for hit in hits:
        yield hit.passage.at
        if policy != "passages":
            yield from _around(hit, texts[hit.document.id], policy)


def _around(hit: Hit, passages: Sequence[Passage], policy: Policy) -> Iterator[At]:
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


def _by_worth(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]]) -> list[At]:
    regions = {passage.at: _region(passage) for passages in texts.values() for passage in passages}
    little = _little(texts)
    worth: dict[At, float] = {}
    shared: dict[At, float] = {}  # of neighbours, from all hits around them
    for hit, own in zip(hits, _relative(_spread(hits, little)), strict=True):
        place, region = hit.passage.at, _region(hit.passage)
        worth[place] = max(own, worth.get(place, 0.0))
        for step, fade in ((1, FADE), (-1, FADE_BACK)):
            left = own
            for distance in range(1, GROWTH + 1):
                at = place[0], place[1] + step * distance
                if at not in regions:
                    break
                if regions[at] == region and region in little:
                    left *= WITHIN
                    worth[at] = max(left, worth.get(at, 0.0))
                else:
                    left *= fade
                    shared[at] = shared.get(at, 0.0) + left
    for at, left in shared.items():
        worth[at] = max(left, worth.get(at, 0.0))
    rank = {hit.passage.at: number for number, hit in enumerate(hits)}
    # Of equal worth: the better hit, then the earlier text.
    return sorted(worth, key=lambda place: (-worth[place], rank.get(place, len(hits)), place))


def _region(passage: Passage) -> Region:
    """Its page, else its sheet and section; of a document without any, all of it."""
    section = () if passage.page is not None else passage.section
    return passage.document_id, passage.page, passage.sheet, section


def _little(texts: Mapping[str, Sequence[Passage]]) -> frozenset[Region]:
    sizes: dict[Region, int] = {}
    for passages in texts.values():
        for passage in passages:
            region = _region(passage)
            sizes[region] = sizes.get(region, 0) + passage.tokens
    return frozenset(region for region, tokens in sizes.items() if tokens <= LITTLE)


def _spread(hits: Sequence[Hit], little: frozenset[Region]) -> list[float]:
    """Scores, less for a hit whose page or section has had better ones, unless it is little."""
    seen: dict[Region, int] = {}
    scores = []
    for hit in hits:
        region = _region(hit.passage)
        before = seen.get(region, 0)
        seen[region] = before + 1
        scores.append(hit.score - (0.0 if region in little else min(AGAIN * before, AGAIN_AT_MOST)))
    return scores


def _relative(scores: Sequence[float]) -> list[float]:
    """From 1 for the best to a little above 0 for the worst."""
    if not scores:
        return []
    best, worst = max(scores), min(scores)
    return [(score - worst + 1e-6) / (best - worst + 1e-6) for score in scores]
