"""Passages that say the same again. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from rag.text import words
from rag.types import Hit

SHINGLE = 4  # words; Broder, "On the resemblance and containment of documents", 1997
ALIKE = 0.9  # share of its shingles that a better passage holds too
_DIGIT = re.compile(r"\d")
LEAST = 12  # words; shorter passages (headings, table rows) are alike by chance


@dataclass(frozen=True, slots=True)
class _Said:
    shingles: frozenset[int]
    numbers: frozenset[str]

    def is_within(self, shingles: AbstractSet[int]) -> bool:
        least = ALIKE * len(self.shingles)
        return bool(self.shingles) and len(self.shingles & shingles) >= least


def without_duplicates(hits: Sequence[Hit]) -> tuple[list[Hit], list[tuple[Hit, Hit]]]:
    """The hits that say something new, in their order; and those that do not, each with the better one that said it.
    A number that the better one lacks is new. A passage is no duplicate of its neighbours in the same document, which
    repeat headers of tables."""
    kept: list[tuple[Hit, _Said]] = []
    dropped: list[tuple[Hit, Hit]] = []
    seen: set[int] = set()  # shingles of all that are kept
    for hit in hits:
        ours = _said(hit.passage.text)
        # What one of them has said, they have said together.
        if ours.is_within(seen) and (same := _same(hit, ours, kept)):
            dropped.append((hit, same))
        else:
            seen |= ours.shingles
            kept.append((hit, ours))
    return [hit for hit, _ in kept], dropped


def _same(hit: Hit, ours: _Said, kept: Sequence[tuple[Hit, _Said]]) -> Hit | None:
    """The best that said it."""
    for better, said in kept:
        if (
            ours.is_within(said.shingles)
            and ours.numbers <= said.numbers
            and not _are_neighbours(hit, better)
        ):
            return better
    return None


@lru_cache(maxsize=4096)  # passages of about a hundred words; the same ones are found again and again
def _said(text: str) -> _Said:
    found = words(text)
    return _Said(_shingles(found), frozenset(word for word in found if _DIGIT.search(word)))


def _shingles(found: Sequence[str]) -> frozenset[int]:
    if len(found) < LEAST:
        return frozenset()
    return frozenset(hash(tuple(found[at : at + SHINGLE])) for at in range(len(found) - SHINGLE + 1))


def _are_neighbours(one: Hit, other: Hit) -> bool:
    return one.document.id == other.document.id and abs(one.passage.ordinal - other.passage.ordinal) <= 1
