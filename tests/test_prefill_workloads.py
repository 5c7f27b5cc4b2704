"""Which questions a workload asks, in which order, and which of them count."""

from __future__ import annotations

from evals.datasets.values import Case, Cases, Corpus, Evidence, Record
from evals.prefill.workloads import NAMES, Turn, turns

RECORDS = tuple(Record(f"{topic}#{n}", topic, f"{topic} {n}") for topic in "ABC" for n in range(2))
CASES = (
    *(Case(f"{r.id}/{n}", "?", ("x",), (Evidence(r.id, r.text),)) for r in RECORDS for n in range(4)),
    Case("nowhere", "?", ()),
)
DATA = Cases("squad", Corpus(RECORDS), CASES)


def about(turn: Turn) -> str:
    return turn.case.evidence[0].document


def test_overlap_asks_everything_once_in_a_random_order() -> None:
    asked = turns("overlap", DATA, None, 2, 0)
    assert sorted(turn.case.id for turn in asked) == sorted(case.id for case in CASES)
    assert [turn.case for turn in asked] != list(CASES)
    assert asked == turns("overlap", DATA, None, 2, 0) != turns("overlap", DATA, None, 2, 1)


def test_same_asks_each_twice_and_counts_the_second_time() -> None:
    asked = turns("same", DATA, None, 2, 0)
    assert [turn.counted for turn in asked] == [False, True] * 2
    assert asked[0].case == asked[1].case != asked[2].case


def test_documents_asks_another_question_of_the_same() -> None:
    asked = turns("documents", DATA, None, 3, 0)
    assert len(asked) == 6
    for first, second in zip(asked[::2], asked[1::2], strict=True):
        assert about(first) == about(second)
        assert first.case != second.case
        assert (first.counted, second.counted) == (False, True)


def test_a_conversation_has_three_turns_of_which_follow_ups_count() -> None:
    asked = turns("conversation", DATA, None, 2, 0)
    assert [turn.conversation for turn in asked] == ["0"] * 3 + ["1"] * 3
    assert [turn.counted for turn in asked] == [False, True, True] * 2
    assert len({about(turn) for turn in asked}) == 2


def test_unrelated_questions_are_of_different_topics() -> None:
    asked = turns("random", DATA, None, 2, 0)
    assert sorted(about(turn)[0] for turn in asked) == ["A", "B", "C"]


def test_questions_without_evidence_have_no_documents_in_common() -> None:
    bare = Cases("jsonl", Corpus(), (Case("1", "?", ()), Case("2", "?", ())))
    assert [turns(name, bare, None, 2, 0) for name in ("documents", "conversation", "random")] == [[], [], []]


def test_a_limit_bounds_unlike_questions_alone() -> None:
    sizes = {name: len(turns(name, DATA, 2, 3, 0)) for name in NAMES}
    assert sizes == {"same": 6, "documents": 6, "overlap": 2, "conversation": 9, "random": 2}
