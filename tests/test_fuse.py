from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag.fuse import FULL, WEIGHT, fuse, score
from rag.types import Candidate

COSINES = st.floats(-1, 1)
WEIGHTS = st.floats(0, 100)


@given(COSINES, COSINES, WEIGHTS, WEIGHTS)
def test_more_of_either_score_is_never_worth_less(
    cosine: float, other: float, bm25: float, more: float
) -> None:
    low, high = sorted((cosine, other))
    few, many = sorted((bm25, more))
    assert score(low, few) <= score(high, few)
    assert score(low, few) <= score(low, many)


def test_few_words_count_little_and_many_much() -> None:
    assert score(0.5, 0) == 0.5
    assert score(0.5, FULL) == 0.5 + WEIGHT
    assert score(0, FULL / 2) == pytest.approx(WEIGHT / 4)
    assert score(0.3, 10) < score(0.35, 5), "three words of a short question do not overrule the vectors"
    assert score(0.3, 40) > score(0.6, 5), "a long question's words do"


def candidates(scores: list[tuple[float, float]]) -> list[Candidate]:
    made = []
    for at, (cosine, bm25) in enumerate(scores):
        doc = document(f"file:///{at % 3}.txt")
        made.append(Candidate(doc, passages(doc, *["x"] * (at + 1))[at], cosine, bm25))
    return made


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5]), st.sampled_from([0.0, 20.0])), max_size=12))
def test_the_order_does_not_depend_on_that_of_the_candidates(scores: list[tuple[float, float]]) -> None:
    made = candidates(scores)
    hits = fuse(made)
    shuffled = list(made)
    random.Random(1).shuffle(shuffled)
    assert fuse(shuffled) == hits
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert {(hit.cosine, hit.bm25) for hit in hits} == set(scores)
    keys = [(-hit.score, hit.document.source, hit.passage.ordinal) for hit in hits]
    assert keys == sorted(keys)
