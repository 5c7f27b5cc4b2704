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
from rag.worth import Laid, by_worth, region_of

NEAR = 0.88  # of the best score, for what a follow-up adds
OVER_BUDGET = "over the token budget"


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
    laid = Laid(texts)
    wanted: dict[At, None] = {}
    for hit in choice.hits:
        if hit.score >= least:
            wanted[hit.passage.at] = None
            if laid.little[laid.index[hit.passage.at]]:
                region = region_of(hit.passage)
                wanted |= dict.fromkeys(p.at for p in texts[hit.document.id] if region_of(p) == region)
    return replace(choice, wanted=list(wanted), unwanted="not as near as what is read for the follow-up")


def _once(hits: Sequence[Hit]) -> list[Hit]:
    once: dict[At, Hit] = {}
    for hit in hits:
        once.setdefault(hit.passage.at, hit)
    return list(once.values())


def _wanted(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]], policy: Policy) -> Iterator[At]:
    """Passages in the order in which they are to be taken; the same one may come twice."""
    if policy == "auto":
        yield from by_worth(hits, texts)
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
