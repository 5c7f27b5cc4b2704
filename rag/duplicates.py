"""Passages that say the same again. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from rag.text import words
from rag.types import Hit

SHINGLE = 4  # words; Broder, "On the resemblance and containment of documents", 1997
ALIKE = 0.9  # share of its shingles that a better passage holds too
_DIGIT = re.compile(r"\d")
LEAST = 12  # words; shorter passages (headings, table rows) are alike by chance


@dataclass(frozen=True, slots=True)
class _Said:
    """``some`` is a fixed quarter of the shingles: passages that are alike have one of them in common, unless there
    are too few."""

    shingles: frozenset[int]
    some: frozenset[int]
    numbers: frozenset[str]


def without_duplicates(hits: Sequence[Hit]) -> tuple[list[Hit], list[tuple[Hit, Hit]]]:
    """The hits that say something new, in their order; and those that do not, each with the better one that said it.
    A number that the better one lacks is new. A passage is no duplicate of its neighbours in the same document, which
    repeat headers of tables."""
    kept: list[Hit] = []
    dropped: list[tuple[Hit, Hit]] = []
    said: list[_Said] = []  # by those that are kept
    holders: dict[int, list[int]] = {}  # by shingle, of some, which of the kept ones hold it
    for hit in hits:
        ours = _said(hit.passage.text)
        alike = (at for at in _candidates(ours, holders, len(kept)) if _has_said(said[at], ours))
        same = next((kept[at] for at in alike if not _are_neighbours(hit, kept[at])), None)
        if same is not None:
            dropped.append((hit, same))
            continue
        for shingle in ours.some:
            holders.setdefault(shingle, []).append(len(kept))
        kept.append(hit)
        said.append(ours)
    return kept, dropped


def _candidates(ours: _Said, holders: Mapping[int, Sequence[int]], kept: int) -> Sequence[int]:
    """The kept ones that may have said it, in order."""
    if not ours.shingles:
        return ()
    if len(ours.some) <= (1 - ALIKE) * len(ours.shingles):  # one that is alike may lack just these
        return range(kept)
    return sorted(set(chain.from_iterable(map(holders.__getitem__, ours.some & holders.keys()))))


def _has_said(better: _Said, ours: _Said) -> bool:
    alike = len(better.shingles & ours.shingles) >= ALIKE * len(ours.shingles)
    return alike and ours.numbers <= better.numbers


@lru_cache(maxsize=4096)  # passages of about a hundred words; the same ones are found again and again
def _said(text: str) -> _Said:
    found = words(text)
    shingles = _shingles(found)
    some = frozenset(shingle for shingle in shingles if shingle % 4 == 0)
    return _Said(shingles, some, frozenset(word for word in found if _DIGIT.search(word)))


def _shingles(found: Sequence[str]) -> frozenset[int]:
    if len(found) < LEAST:
        return frozenset()
    return frozenset(hash(tuple(found[at : at + SHINGLE])) for at in range(len(found) - SHINGLE + 1))


def _are_neighbours(one: Hit, other: Hit) -> bool:
    return one.document.id == other.document.id and abs(one.passage.ordinal - other.passage.ordinal) <= 1
