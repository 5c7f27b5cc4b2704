"""The measures of openbook eval against values worked out by hand, and against trec_eval where it is installed."""

from __future__ import annotations

import math
import random

import pytest

from evals.bootstrap import difference, figure
from evals.metrics import Number, contains, exact, f1, flat, normalized, numbers, numeric
from evals.ranking import measures, ndcg, recall, reciprocal_rank


def test_normalized_as_squad_does() -> None:
    assert normalized("The  Eiffel-Tower, a tower!") == "eiffeltower tower"
    assert normalized("theatre an") == "theatre"


def test_exact() -> None:
    assert exact("The Tower.", ["a spire", "tower"]) == 1
    assert exact("a tall tower", ["tower"]) == 0
    assert exact("", []) == 1  # nothing was asked for, nothing said
    assert exact("something", []) == 0


def test_f1_is_the_best_overlap() -> None:
    # said: {cat, sat}; gold: {cat, sat, mat}: precision 1, recall 2/3
    assert f1("the cat sat", ["a dog", "cat sat mat"]) == pytest.approx(0.8)
    assert f1("cat cat", ["cat"]) == pytest.approx(2 / 3)  # a word counts as often as it stands there
    assert f1("x", []) == 0
    assert f1("", []) == 1


def test_contains_whole_words_only() -> None:
    assert contains("It was built in 1889, they say", ["1889"]) == 1
    assert contains("It was built in 18890", ["1889"]) == 0
    assert contains("anything", ["the"]) == 0  # nothing is left of it


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,577 million", [Number("1577", 1e6)]),
        ("$1.58 billion", [Number("1.58", 1e9, "$")]),
        ("US$12bn and 3 percent", [Number("12", 1e9, "$"), Number("3", 1, "%")]),
        ("a loss of (1,234.5) in FY2018", [Number("-1234.5")]),
        ("-2.2% and 25 basis points", [Number("-2.2", 1, "%"), Number("25", 1, "bp")]),
        ("pages 12-15, v1.2.3", [Number("12"), Number("15")]),
        ("5 USD", [Number("5", 1, "$")]),
        ("10 men, 5 m high, by 3M", [Number("10"), Number("5")]),
        ("$5m and €2.5 B", [Number("5", 1e6, "$"), Number("2.5", 1e9, "€")]),
        ("It is 7.", [Number("7")]),
        (".5", [Number("0.5")]),
        ("1,2 and 1,23", []),  # a comma that groups no thousands: which number is meant is not known
    ],
)
def test_numbers(text: str, found: list[Number]) -> None:
    assert numbers(text) == found


@pytest.mark.parametrize(
    ("said", "gold", "right"),
    [
        ("Capital expenditure was $1,577 million.", "$1577.00", 1),  # the question says in millions
        ("It was 1.58 billion dollars", "$1,577 million", 1),  # rounded to what the answer gives
        ("It was 1.59 billion dollars", "$1,577 million", 0),
        ("It was 2 billion", "$1,577 million", 0),  # one digit says too little
        ("It was 1,578 million", "1,577 million", 0),
        ("35%", "34.6%", 1),
        ("34.6", "34.6%", 0),  # of what
        ("34.6 percent", "34.6%", 1),
        ("34.7%", "34.6%", 0),
        ("€12", "$12", 0),
        ("12", "$12", 1),
        ("-2.2%", "2.2%", 0),
        ("0.66", "0.66", 1),
        ("1", "0.66", 0),
        ("5", "5 million", 0),
        ("5,000,000", "5 million", 1),
        ("from 36.8% to 34.6%", "36.8% in FY 2021 to 34.6% in FY 2022", 1),
        ("to 34.6%", "36.8% in FY 2021 to 34.6% in FY 2022", 0),
        ("It began in 1979.", "1979", 1),
        ("It began in 1980.", "1979", 0),
    ],
)
def test_numeric(said: str, gold: str, right: float) -> None:
    assert numeric(said, [gold]) == right


def test_numeric_says_nothing_where_no_number_is_asked_for() -> None:
    assert numeric("12", ["a spirit"]) is None
    assert numeric("12", ["a dozen", "12"]) == 1


def test_flat() -> None:
    assert flat(" a\n\tb\u00a0c ") == "a b c"


def test_ndcg_by_hand() -> None:
    # gains 2 at place 1 and 1 at place 3; ideal 2 at place 1 and 1 at place 2
    assert ndcg(["a", "x", "b"], {"a": 2, "b": 1}, 10) == pytest.approx(2.5 / (2 + 1 / math.log2(3)))
    assert ndcg(["x", "a"], {"a": 1}, 10) == pytest.approx(1 / math.log2(3))
    assert ndcg(["x"] * 1 + ["a"], {"a": 1}, 1) == 0
    assert ndcg([], {"a": 1}, 10) == 0


def test_recall_and_reciprocal_rank_by_hand() -> None:
    gold = {"a": 1, "b": 2}
    assert recall(["x", "a", "y", "b"], gold, 3) == 0.5
    assert reciprocal_rank(["x", "a"], gold, 10) == 0.5
    assert reciprocal_rank(["x", "a"], gold, 1) == 0


def test_the_measures_are_those_of_trec_eval() -> None:
    pytest.importorskip("pytrec_eval", reason="trec_eval is not installed: it has wheels for x86-64 only")
    import ir_measures

    generator = random.Random(7)
    names = [f"d{n}" for n in range(300)]
    for _ in range(50):
        ranked = generator.sample(names, generator.choice([0, 3, 10, 150]))
        gold = {
            name: generator.randint(1, 3) for name in generator.sample(names, generator.choice([1, 2, 30]))
        }
        run = {"q": {name: float(-place) for place, name in enumerate(ranked)}}
        named = {
            "nDCG@10": "nDCG@10",
            "R@5": "Recall@5",
            "R@10": "Recall@10",
            "R@100": "Recall@100",
            "RR@10": "MRR@10",
        }
        theirs = ir_measures.calc_aggregate(
            [ir_measures.parse_measure(name) for name in named], {"q": gold}, run
        )
        ours = measures(ranked, gold)
        for measure, value in theirs.items():
            assert ours[named[str(measure)]] == pytest.approx(value), measure


def test_a_figure_is_a_mean_with_its_interval() -> None:
    found = figure([(1, 1)] * 80 + [(0, 1)] * 20, seed=1)
    assert found is not None
    assert found.value == 0.8
    assert found.cases == 100
    # The normal approximation: 0.8 +- 1.96 * sqrt(0.8 * 0.2 / 100)
    assert found.low == pytest.approx(0.7216, abs=0.02)
    assert found.high == pytest.approx(0.8784, abs=0.02)
    assert figure([(1, 1)] * 80 + [(0, 1)] * 20, seed=1) == found


def test_a_figure_is_a_share_where_weights_differ() -> None:
    found = figure([(1, 4), (2, 2), (0, 0)], seed=1)
    assert found is not None
    assert found.value == 0.5
    assert found.cases == 2
    assert figure([(0, 0)], seed=1) is None
    assert figure([], seed=1) is None


def test_a_difference_is_between_the_same_cases() -> None:
    before = [(float(n % 2), 1.0) for n in range(200)]
    better = [(1.0 if n % 10 == 0 else value, 1.0) for n, (value, _) in enumerate(before)]
    found = difference(before, better, seed=1)
    assert found is not None
    assert found.value == pytest.approx(0.1)
    assert found.low > 0  # unpaired the interval would be twice as wide and hold 0
    same = difference(before, before, seed=1)
    assert same is not None
    assert (same.value, same.low, same.high) == (0, 0, 0)
