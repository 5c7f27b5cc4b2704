"""Two scores into one, and what the documents around it say of a passage. Pure.

The sum of the cosine and of the square of BM25, which is small where few words meet and counts where many do: short
questions, whose words meet anything, are left to the vectors. In code, where names tell more than what it is like, a
question of many words is answered by those that meet. Measured against reciprocal rank fusion, weighted or not,
and against normalized sums: the only one of them that was no worse than its better half on all of four collections
(docs/log.md). Both scores are those of the passage itself, so it does not matter which other ones were found.

That does matter to ``with_documents``: a passage that says little by itself, such as a table of figures, is more likely
meant where the best passages are of the same document. Documents stand by their best passage as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rag.text import words
from rag.types import Candidate, Hit

WEIGHT, FULL = 0.35, 40.0  # what BM25 adds to a cosine where it is FULL
WORDS = 20  # different ones of a question, for which BM25 adds 1 in code
# What a further passage loses whose document has none of the BEST hits, where another one has them all.
FURTHER, BEST = 0.3, 20


def fuse(candidates: Iterable[Candidate], question: str = "") -> list[Hit]:
    """Best first. Equal scores stand by source and ordinal, so that answers can be repeated."""
    in_code = weight_in_code(question)
    return ranked(
        Hit(
            each.document,
            each.passage,
            score(each.cosine, each.bm25, in_code if each.document.code else WEIGHT),
            each.cosine,
            each.bm25,
        )
        for each in candidates
    )


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.document.source, hit.passage.ordinal))


def score(cosine: float, bm25: float, weight: float = WEIGHT) -> float:
    return cosine + weight * (bm25 / FULL) ** 2


def weight_in_code(question: str) -> float:
    return min(max(WEIGHT, len(set(words(question))) / WORDS), 1.0)


def with_documents(hits: Sequence[Hit]) -> list[Hit]:
    """The hits, best first. A further passage of a document loses by how far that document's share of what the best
    hits score above the last of them falls behind the largest one."""
    best = hits[:BEST]
    above: dict[str, float] = {}
    for hit in best:
        above[hit.document.id] = above.get(hit.document.id, 0.0) + hit.score - best[-1].score
    whole, most = sum(above.values()), max(above.values(), default=0.0)
    if not whole:
        return list(hits)
    firsts = {hit.document.id: hit for hit in reversed(hits)}
    return ranked(
        hit
        if hit is firsts[hit.document.id]
        else replace(hit, score=hit.score - FURTHER * (most - above.get(hit.document.id, 0.0)) / whole)
        for hit in hits
    )
