"""What a ranking of documents is worth: nDCG, recall, reciprocal rank, for one query. Pure.

nDCG is scikit-learn's. Against trec_eval, which BEIR reports, all three are held by a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CUT = 10
RECALLS = (5, 10, 100)


def measures(ranked: Sequence[str], gold: Mapping[str, int]) -> dict[str, float]:
    """``gold`` holds the grade of each document that is relevant (at least one); ``ranked`` no document twice."""
    return {
        f"nDCG@{CUT}": ndcg(ranked, gold, CUT),
        **{f"Recall@{k}": recall(ranked, gold, k) for k in RECALLS},
        f"MRR@{CUT}": reciprocal_rank(ranked, gold, CUT),
    }


def ndcg(ranked: Sequence[str], gold: Mapping[str, int], cut: int) -> float:
    # A second to import: only who measures pays for it.
    from sklearn.metrics import ndcg_score

    top = ranked[:cut]
    missed = [grade for document, grade in gold.items() if document not in top]
    # The documents that are missed stand behind the cut, also where fewer were found than that.
    grades = [gold.get(document, 0) for document in top] + [0] * (cut - len(top)) + missed
    falling = list(range(len(grades), 0, -1))
    return float(ndcg_score([grades], [falling], k=cut, ignore_ties=True))


def recall(ranked: Sequence[str], gold: Mapping[str, int], cut: int) -> float:
    return len(set(ranked[:cut]) & set(gold)) / len(gold)


def reciprocal_rank(ranked: Sequence[str], gold: Mapping[str, int], cut: int) -> float:
    return next((1 / place for place, document in enumerate(ranked[:cut], 1) if document in gold), 0.0)
