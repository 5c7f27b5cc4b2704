"""What is remembered of chats that clients keep themselves."""

from __future__ import annotations

import pytest

from rag import chats
from rag.chats import Chats
from rag.conversation import Ref, Turn

READ = (Ref(1, "d", "r1", 0, 3),)
FIRST = Turn("How long?", "400 days [1].", READ)


def answered(known: Chats, said: list[tuple[str, str]], turn: Turn, sent: str | None = None) -> None:
    chat = known.begin("", said)
    chat.turn = turn
    known.end(chat, turn.question, sent or turn.text)


def turns(known: Chats, *said: tuple[str, str], owner: str = "") -> tuple[Turn, ...]:
    chat = known.begin(owner, said)
    known.end(chat)
    return chat.turns


def test_what_was_read_is_known_by_what_was_said() -> None:
    known = Chats()
    answered(known, [], FIRST)
    assert turns(known, ("How long?", "400 days [1].")) == (FIRST,)
    assert turns(known, (" How long? ", "400 days [1].\n")) == (FIRST,)
    second = Turn("And in winter?", "Yes [2].", (Ref(2, "d", "r1", 5, 6),))
    answered(known, [("How long?", "400 days [1].")], second)
    assert turns(known, ("How long?", "400 days [1]."), ("And in winter?", "Yes [2].")) == (FIRST, second)


def test_what_the_client_changed_is_only_words() -> None:
    known = Chats()
    answered(known, [], FIRST)
    assert turns(known, ("How long?", "500 days.")) == (Turn("How long?", "500 days."),)
    assert turns(known, ("How long?", "400 days [1]."), ("Why?", "So.")) == (FIRST, Turn("Why?", "So."))
    assert turns(known) == ()


def test_the_client_may_have_another_text_than_the_model_reads() -> None:
    known = Chats()
    answered(known, [], FIRST, sent="400 days [1]. 400 days [1].")
    assert turns(known, ("How long?", "400 days [1]. 400 days [1].")) == (FIRST,)


def test_another_caller_knows_nothing_of_it() -> None:
    known = Chats()
    answered(known, [], FIRST)
    assert turns(known, ("How long?", "400 days [1]."), owner="b") == (Turn("How long?", "400 days [1]."),)


def test_two_answers_to_one_question_go_on_each_for_itself() -> None:
    known = Chats()
    other = Turn("How long?", "A year [1].", READ)
    answered(known, [], FIRST)
    answered(known, [], other)
    assert turns(known, ("How long?", "400 days [1].")) == (FIRST,)
    assert turns(known, ("How long?", "A year [1].")) == (other,)


def test_a_chat_is_open_until_its_end() -> None:
    known = Chats()
    chat = known.begin("", [])
    assert known.get(chat.id) is chat
    known.end(chat)
    assert known.get(chat.id) is known.get(None) is None


def test_the_longest_unused_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats, "KEPT", 2)
    known = Chats()
    for question in "abc":
        answered(known, [], Turn(question, "x", READ))
    assert [turns(known, (question, "x"))[0].read for question in "abc"] == [(), READ, READ]
