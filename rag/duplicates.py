"""Passages that say the same again. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from rag.text import words
from rag.types import Hit

SHINGLE = 4  # words; Broder, "On the resemblance and containment of documents", 1997
ALIKE = 0.9  # share of its shingles that a better passage holds too
_DIGIT = re.compile(r"\d")
LEAST = 12  # words; shorter passages (headings, table rows) are alike by chance


def without_duplicates(hits: Sequence[Hit]) -> tuple[list[Hit], list[tuple[Hit, Hit]]]:
    """The hits that say something new, in their order; and those that do not, each with the better one that said it.
    A number that the better one lacks is new. A passage is no duplicate of its neighbours in the same document, which
    repeat headers of tables."""
    kept: list[Hit] = []
    dropped: list[tuple[Hit, Hit]] = []
    numbers: list[frozenset[str]] = []
    holders: dict[int, list[int]] = {}  # by shingle, which of the kept ones hold it
    for hit in hits:
        ours, figures = _said(hit.passage.text)
        shared = Counter(chain.from_iterable(map(holders.__getitem__, ours & holders.keys())))
        alike = (at for at in sorted(shared) if shared[at] >= ALIKE * len(ours) and figures <= numbers[at])
        same = next((kept[at] for at in alike if not _are_neighbours(hit, kept[at])), None)
        if same is not None:
            dropped.append((hit, same))
            continue
        for shingle in ours:
            holders.setdefault(shingle, []).append(len(kept))
        kept.append(hit)
        numbers.append(figures)
    return kept, dropped


@lru_cache(maxsize=4096)  # passages of about a hundred words; the same ones are found again and again
def _said(text: str) -> tuple[frozenset[int], frozenset[str]]:
    """Its shingles and its numbers."""
    found = words(text)
    return _shingles(found), frozenset(word for word in found if _DIGIT.search(word))


def _shingles(found: Sequence[str]) -> frozenset[int]:
    if len(found) < LEAST:
        return frozenset()
    return frozenset(hash(tuple(found[at : at + SHINGLE])) for at in range(len(found) - SHINGLE + 1))


def _are_neighbours(one: Hit, other: Hit) -> bool:
    return one.document.id == other.document.id and abs(one.passage.ordinal - other.passage.ordinal) <= 1
