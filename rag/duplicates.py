"""Passages that say the same again. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property, lru_cache

from rag.text import words
from rag.types import Hit

SHINGLE = 4  # words; Broder, "On the resemblance and containment of documents", 1997
ALIKE = 0.9  # share of its shingles that a better passage holds too
SAMPLED = 4  # about one shingle in so many is looked up among those of all better passages
_DIGIT = re.compile(r"\d")
LEAST = 12  # words; shorter passages (headings, table rows) are alike by chance


class _Said:
    """``sample``: the shingles that begin with one of some words, as many as one in SAMPLED by chance."""

    def __init__(self, text: str) -> None:
        found = words(text)
        self._words = found if len(found) >= LEAST else []
        self.numbers = frozenset([word for word in found if not word.isalpha() and _DIGIT.search(word)])
        begins = [at for at, word in enumerate(self._words[: 1 - SHINGLE]) if hash(word) % SAMPLED == 0]
        self.sample = frozenset([hash(tuple(self._words[at : at + SHINGLE])) for at in begins])

    @cached_property
    def shingles(self) -> frozenset[int]:
        return frozenset(map(hash, zip(*(self._words[at:] for at in range(SHINGLE)), strict=False)))

    def is_within(self, shingles: AbstractSet[int]) -> bool:
        least = ALIKE * len(self.shingles)
        return bool(self.shingles) and len(self.shingles & shingles) >= least

    def may_be_within(self, samples: AbstractSet[int]) -> bool:
        """False where too much of the sample is missing."""
        missing = len(self._words) * (1 - ALIKE)  # there are fewer shingles
        return bool(self._words) and len(self.sample - samples) <= missing


def without_duplicates(hits: Sequence[Hit]) -> tuple[list[Hit], list[tuple[Hit, Hit]]]:
    """The hits that say something new, in their order; and those that do not, each with the better one that said it.
    A number that the better one lacks is new. A passage is no duplicate of its neighbours in the same document, which
    repeat headers of tables."""
    kept: list[tuple[Hit, _Said]] = []
    dropped: list[tuple[Hit, Hit]] = []
    seen: set[int] = set()  # samples of all that are kept
    for hit in hits:
        ours = _said(hit.passage.text)
        # What one of them has said, they have said together.
        if ours.may_be_within(seen) and (same := _same(hit, ours, kept)):
            dropped.append((hit, same))
        else:
            seen |= ours.sample
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
    return _Said(text)


def _are_neighbours(one: Hit, other: Hit) -> bool:
    return one.document.id == other.document.id and abs(one.passage.ordinal - other.passage.ordinal) <= 1
