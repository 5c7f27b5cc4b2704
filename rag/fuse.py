"""Two scores into one. Pure.

The sum of the cosine and of the square of BM25, which is small where few words meet and counts where many do: short
questions, whose words meet anything, are left to the vectors. Measured against reciprocal rank fusion, weighted or not,
and against normalized sums: the only one of them that was no worse than its better half on all of four collections
(docs/log.md). Both scores are those of the passage itself, so it does not matter which other ones were found.
"""

from __future__ import annotations

from collections.abc import Iterable

from rag.types import Candidate, Hit

WEIGHT, FULL = 0.35, 40.0  # what BM25 adds to a cosine where it is FULL


def fuse(candidates: Iterable[Candidate]) -> list[Hit]:
    """Best first. Equal scores stand by source and ordinal, so that answers can be repeated."""
    return ranked(
        Hit(each.document, each.passage, score(each.cosine, each.bm25), each.cosine, each.bm25)
        for each in candidates
    )


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.document.source, hit.passage.ordinal))


def score(cosine: float, bm25: float) -> float:
    return cosine + WEIGHT * (bm25 / FULL) ** 2
