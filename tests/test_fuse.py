from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag.fuse import FULL, FURTHER, WEIGHT, WORDS, fuse, ranked, score, weight_in_code, with_documents
from rag.types import Candidate, Hit

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


def test_a_further_passage_loses_by_what_its_document_lacks_of_the_best() -> None:
    one, other = (document(f"file:///{name}.txt") for name in ("a", "b"))
    scored = [(one, 0, 0.9), (one, 1, 0.8), (other, 0, 0.7), (other, 1, 0.6), (one, 2, 0.4)]
    hits = [Hit(doc, passages(doc, *"xyz")[at], score) for doc, at, score in scored]
    # Of 1.4 above the last one, 0.9 are of the one document and 0.5 of the other.
    weighed = {hit.passage.at: hit.score for hit in with_documents(hits)}
    lost = FURTHER * (0.9 - 0.5) / 1.4
    assert weighed == {
        (doc.id, at): pytest.approx(score - lost if (doc, at) == (other, 1) else score)
        for doc, at, score in scored
    }


def test_a_passage_of_the_document_that_is_meant_comes_before_a_better_one_of_another() -> None:
    one, other = document("file:///a.txt"), document("file:///b.txt")
    best = [Hit(one, tile, 0.9 - tile.ordinal / 100) for tile in passages(one, *"vwxyz")]
    first, stray = (Hit(other, tile, 0.55 - tile.ordinal / 20) for tile in passages(other, "x", "y"))
    table = Hit(one, passages(one, *"uvwxyz")[5], 0.45)
    assert [(h.document, h.passage) for h in with_documents([*best, first, stray, table])[5:]] == [
        (hit.document, hit.passage) for hit in (first, table, stray)
    ]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1)), max_size=30, unique_by=lambda scored: scored[1])
)
def test_documents_stand_by_their_best_passage_as_before(scored: list[tuple[int, float]]) -> None:
    tiles = {at: (doc := document(f"file:///{at}.txt"), passages(doc, *"x" * 30)) for at in range(5)}
    hits = ranked(Hit(tiles[at][0], tiles[at][1][n], score) for n, (at, score) in enumerate(scored))
    weighed = with_documents(hits)
    before, after = ([hit.document.id for hit in each] for each in (hits, weighed))
    assert list(dict.fromkeys(before)) == list(dict.fromkeys(after))
    assert sorted(before) == sorted(after)


@pytest.mark.parametrize("scores", [[], [0.5], [0.5, 0.5]])
def test_where_none_is_better_nothing_is_lost(scores: list[float]) -> None:
    doc = document("file:///a.txt")
    hits = [Hit(doc, tile, score) for tile, score in zip(passages(doc, "x", "y"), scores, strict=False)]
    assert with_documents(hits) == hits


def test_in_code_the_words_of_a_long_question_count_more() -> None:
    long = " ".join(f"word{number}" for number in range(WORDS))
    assert weight_in_code("how to read a file") == WEIGHT
    assert weight_in_code("word " * WORDS) == WEIGHT, "one word, said often"
    assert WEIGHT < weight_in_code(long[: len(long) // 2]) < weight_in_code(long) == 1
    assert weight_in_code(f"{long} and more") == 1
    prose = Candidate(doc := document("file:///a.txt"), passages(doc, "x")[0], 0.2, FULL)
    code = replace(prose, document=replace(doc, code="python"))
    assert [hit.score for hit in fuse([prose, code], long)] == [1.2, 0.2 + WEIGHT]
    assert [hit.score for hit in fuse([prose, code], "a file")] == [0.2 + WEIGHT] * 2
