"""What is like many others says less to a question."""

from __future__ import annotations

import numpy as np
import pytest

from fakes import document, passages
from rag.crowd import LOSS, NEAREST, dispersed, loss_in_code
from rag.types import Hit

Vector = list[float]


def hits(*documents: str) -> list[Hit]:
    made, seen = [], dict.fromkeys(documents, 0)
    for name in documents:
        doc = document(f"file:///{name}.py")
        tiles = passages(doc, *["x"] * (documents.count(name)))
        made.append(Hit(doc, tiles[seen[name]], 1.0, 0.5, 0.0))
        seen[name] += 1
    return made


def around(direction: int, count: int) -> list[Vector]:
    """Nearly the same, all of them."""
    noise = np.random.default_rng(7).normal(0, 0.01, (count, 64))
    noise[:, direction] += 1
    found: list[Vector] = noise.tolist()
    return found


def lost(found: list[Hit], vectors: list[Vector]) -> list[float]:
    by_id = {hit.passage.id: vector for hit, vector in zip(found, vectors, strict=False)}
    after = dispersed(found, by_id)
    assert [hit.passage for hit in after] == [hit.passage for hit in found]
    return [before.score - hit.score for before, hit in zip(found, after, strict=True)]


def test_what_stands_alone_gains_on_what_stands_in_a_crowd() -> None:
    crowd = around(0, NEAREST + 1)
    alone = [*around(1, 1), *around(2, 1)]
    of_each = lost(hits(*(f"f{n}" for n in range(NEAREST + 3))), crowd + alone)
    assert min(of_each[: NEAREST + 1]) > 0 > max(of_each[NEAREST + 1 :])
    assert sum(of_each) == pytest.approx(0, abs=1e-6)
    assert of_each[0] - of_each[-1] == pytest.approx(LOSS, abs=0.02), "neighbours of cosine 1 against none"


def test_passages_of_the_same_file_are_no_crowd() -> None:
    names = [*["one"] * (NEAREST + 1), *(f"f{n}" for n in range(NEAREST + 1))]
    of_each = lost(hits(*names), around(0, NEAREST + 1) + around(1, NEAREST + 1))
    assert max(of_each[: NEAREST + 1]) < 0 < min(of_each[NEAREST + 1 :])


def test_a_long_question_names_what_it_is_about() -> None:
    words = [f"word{n}" for n in range(20)]
    assert loss_in_code("sort a dict by value") == pytest.approx(LOSS)
    assert 0 < loss_in_code(" ".join(words[:14])) < LOSS
    assert loss_in_code(" ".join(words)) == 0


def test_vectors_of_any_length_tell_the_same() -> None:
    found = hits(*(f"f{n}" for n in range(NEAREST + 2)))
    vectors = [*around(0, NEAREST + 1), *around(1, 1)]
    assert lost(found, [[9 * x for x in each] for each in vectors]) == pytest.approx(
        lost(found, vectors), abs=1e-5
    )


def test_few_hits_and_what_has_no_vector_stay_as_they_are() -> None:
    few = hits(*(f"f{n}" for n in range(NEAREST)))
    assert lost(few, around(0, NEAREST)) == [0.0] * NEAREST
    more = hits(*(f"f{n}" for n in range(NEAREST + 3)))
    assert lost(more, [*around(0, NEAREST + 1), *around(1, 1)])[-1] == 0.0
    assert dispersed([], {}) == []
