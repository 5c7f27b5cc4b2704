"""Passages that say the same again. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rag.text import words
from rag.types import Hit

SHINGLE = 4  # words; Broder, "On the resemblance and containment of documents", 1997
ALIKE = 0.9  # share of its shingles that a better passage holds too
LEAST = 12  # words; shorter passages (headings, table rows) are alike by chance


def without_duplicates(hits: Sequence[Hit]) -> tuple[list[Hit], list[tuple[Hit, Hit]]]:
    """The hits that say something new, in their order; and those that do not, each with the better one that said it.
    A passage is no duplicate of its neighbours in the same document, which repeat headers of tables."""
    kept: list[Hit] = []
    shingles: list[frozenset[int]] = []
    dropped: list[tuple[Hit, Hit]] = []
    for hit in hits:
        ours = _shingles(hit.passage.text)
        same = next(
            (better for better, theirs in zip(kept, shingles, strict=True) if _alike(ours, theirs)), None
        )
        if same is not None and not _are_neighbours(hit, same):
            dropped.append((hit, same))
            continue
        kept.append(hit)
        shingles.append(ours)
    return kept, dropped


def _shingles(text: str) -> frozenset[int]:
    found = words(text)
    if len(found) < LEAST:
        return frozenset()
    return frozenset(hash(tuple(found[at : at + SHINGLE])) for at in range(len(found) - SHINGLE + 1))


def _alike(ours: frozenset[int], theirs: frozenset[int]) -> bool:
    """All but a tenth of the passage stands in the other one."""
    return bool(ours and theirs) and len(ours & theirs) >= ALIKE * len(ours)


def _are_neighbours(one: Hit, other: Hit) -> bool:
    return one.document.id == other.document.id and abs(one.passage.ordinal - other.passage.ordinal) <= 1
