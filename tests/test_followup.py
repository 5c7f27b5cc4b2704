"""What the index is asked for a follow-up."""

from __future__ import annotations

import pytest

from fakes import FakeGenerator, served
from rag import rewrite
from rag.conversation import Turn
from rag.errors import ModelUnavailable
from rag.followup import FRONT, leans, standalone

FIRST = Turn(
    "How long does the battery of the Heron H2 last?", "It lasts 400 days at Vik Harbour, says Anna Dahl [1]."
)


@pytest.mark.parametrize(
    "question",
    [
        "and in 2023?",
        "How about the second one?",
        "why?",
        "Why not?",
        "What does it cost?",
        "When was that?",
        "Who said that?",
        "Is that year exceptional?",
        "And the winter?",
        "What else?",
        "Tell me more about this.",
        "Where do they come from?",
        "In 2024?",
        "What about the radio mast of the harbour?",
        "How much is the other?",
        "Who works there?",
        "为什么？",
        "",
    ],
)
def test_questions_that_lean_on_what_was_said(question: str) -> None:
    assert leans(question)
    searched_for = standalone(question, [FIRST])
    assert searched_for.startswith(FIRST.question)
    assert searched_for.endswith(question)


@pytest.mark.parametrize(
    "question",
    [
        "How much money did the committee approve for the year?",
        "Does the Heron H2 keep its data?",
        "What did Anna Dahl say about her boat?",
        "Which sensors are there in the harbour?",
        "Who wrote the report that the committee approved?",
        "When is lunch?",
        "Which stations are there?",
        "电池可以用多少天？",
        "What is the surge limit?",
    ],
)
def test_questions_that_stand_alone(question: str) -> None:
    assert not leans(question)
    assert standalone(question, [FIRST]) == question


def test_a_first_question_leans_on_nothing() -> None:
    assert standalone("What does it cost?", []) == "What does it cost?"


def test_names_and_numbers_of_the_answer_come_too_without_marks() -> None:
    front = standalone("Is it cold?", [FIRST]).removeprefix(FIRST.question).removesuffix("Is it cold?")
    assert front.split() == ["400", "Vik", "Harbour", "Anna", "Dahl"]


def test_a_chain_of_follow_ups_goes_back_to_the_question_that_stands_alone() -> None:
    turns = [Turn("What is for lunch on Monday?", "Soup."), FIRST, Turn("And in winter?", "Less.")]
    searched_for = standalone("Why?", turns)
    assert searched_for == f"{FIRST.question} And in winter? Why?"


def test_what_stands_in_front_is_bounded() -> None:
    long = Turn("What of " + "w" * 100 + " x" * 3000 + "?", "Yes.")
    searched_for = standalone("Why?", [long])
    assert len(searched_for) <= FRONT + 10
    assert searched_for.endswith("x? Why?")


async def test_the_model_rewrites_where_it_is_let() -> None:
    model = FakeGenerator("What does the Heron H2 cost?\nI hope this helps.")
    told: list[str] = []
    made = await rewrite.rewritten([served(model)], "And its cost?", [FIRST], told.append)
    assert (made, told) == ("What does the Heron H2 cost?", [])
    (sent,) = model.sent
    assert [message.role for message in sent] == ["system", "user"]
    assert FIRST.question in sent[1].content
    assert "[1]" not in sent[1].content
    assert sent[1].content.endswith("Last question: And its cost?")


@pytest.mark.parametrize(
    "model",
    [
        FakeGenerator(""),
        FakeGenerator(" \n"),
        FakeGenerator("x" * 5000),
        FakeGenerator(error=ModelUnavailable("down")),
    ],
)
async def test_the_rule_stands_in_for_a_model_that_fails(model: FakeGenerator) -> None:
    made = await rewrite.rewritten([served(model)], "Why?", [FIRST], print)
    assert made == standalone("Why?", [FIRST])


async def test_the_next_model_rewrites_where_one_is_down_and_that_is_told() -> None:
    down, up = FakeGenerator(error=ModelUnavailable("It is off.")), FakeGenerator("What does it cost?")
    told: list[str] = []
    made = await rewrite.rewritten([served(down, "fast"), served(up)], "And?", [FIRST], told.append)
    assert (made, told) == (
        "What does it cost?",
        ["The follow-up was not rewritten by fast: It is off."],
    )


async def test_a_first_question_is_not_rewritten() -> None:
    model = FakeGenerator("Something else?")
    assert await rewrite.rewritten([served(model)], "Why?", [], print) == "Why?"
    assert model.sent == []
