"""What passages are worth, against the same added up one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, takewhile

from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag.types import At, Hit, Passage
from rag.worth import (
    AGAIN,
    AGAIN_AT_MOST,
    FADE,
    FADE_BACK,
    GROWTH,
    LITTLE,
    WITHIN,
    Region,
    by_worth,
    region_of,
)

DOCUMENTS = [document(f"file:///{number}.txt") for number in range(2)]


@st.composite
def found(draw: st.DrawFn) -> tuple[list[Hit], dict[str, list[Passage]]]:
    """Hits in two documents of which some passages are not there, on pages that are little or not."""
    texts = {}
    for each in DOCUMENTS:
        tiles = passages(each, *["some words "] * 45)
        tokens = draw(st.lists(st.sampled_from([10, 100, 400]), min_size=45, max_size=45))
        per_page, missing = draw(st.integers(1, 12)), draw(st.sets(st.integers(0, 44), max_size=4))
        texts[each.id] = [
            replace(tile, tokens=tokens[at], page=at // per_page)
            for at, tile in enumerate(tiles)
            if at not in missing
        ]
    there = [(each, tile) for each in DOCUMENTS for tile in texts[each.id]]
    chosen = draw(st.lists(st.sampled_from(there), min_size=1, max_size=30, unique_by=lambda one: one[1].at))
    scores = draw(st.lists(st.floats(0, 2), min_size=len(chosen), max_size=len(chosen)))
    hits = (Hit(each, tile, score) for (each, tile), score in zip(chosen, scores, strict=True))
    return sorted(hits, key=lambda hit: -hit.score), texts


def plainly(hits: Sequence[Hit], texts: Mapping[str, Sequence[Passage]]) -> dict[At, float]:
    known = {p.at: p for id_ in sorted(texts) for p in texts[id_]}
    size: Counter[Region] = Counter()
    for p in known.values():
        size[region_of(p)] += p.tokens
    scores, seen = [], Counter[Region]()
    for hit in hits:
        region = region_of(hit.passage)
        again = 0.0 if size[region] <= LITTLE else min(AGAIN * seen[region], AGAIN_AT_MOST)
        scores.append(hit.score - again)
        seen[region] += 1
    best, worst = max(scores), min(scores)
    own, shared = dict.fromkeys(known, 0.0), dict.fromkeys(known, 0.0)
    for hit, score in zip(hits, scores, strict=True):
        worth = (score - worst + 1e-6) / (best - worst + 1e-6)
        own[hit.passage.at] = max(own[hit.passage.at], worth)
        for way, fade in ((1, FADE), (-1, FADE_BACK)):
            id_, ordinal = hit.passage.at
            steps = ((id_, ordinal + way * step) for step in range(1, GROWTH + 1))
            run = list(takewhile(known.__contains__, steps))
            inside = 0
            while inside < len(run) and _little_whole(hit.passage, known[run[inside]], size):
                own[run[inside]] = max(own[run[inside]], worth * WITHIN ** (inside + 1))
                inside += 1
            for step, at in enumerate(run[inside:], 1):
                shared[at] += worth * WITHIN**inside * fade**step
    return {at: max(own[at], shared[at]) for at in known}


def _little_whole(one: Passage, other: Passage, size: Mapping[Region, int]) -> bool:
    return region_of(one) == region_of(other) and size[region_of(one)] <= LITTLE


@given(found())
def test_worths_are_those_of_plain_sums(given: tuple[list[Hit], dict[str, list[Passage]]]) -> None:
    worths, ordered = plainly(*given), by_worth(*given)
    assert set(ordered) == {at for at, worth in worths.items() if worth}
    assert all(worths[one] >= worths[other] - 1e-9 for one, other in pairwise(ordered))
