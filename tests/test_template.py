"""Prompts as token ids."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.ports import Message
from rag.template import ASKED, FURTHER, SAID, SYSTEM, Template, find, template

BOS, TURN, END, THINK = 1, 2, 3, 4


def encode(texts: Sequence[str]) -> list[list[int]]:
    return [[100 + ord(letter) for letter in text] for text in texts]


def rendered(contents: Sequence[str], answer: Sequence[int] = ()) -> list[int]:
    """As a chat template does it; ``answer`` is what it adds where the model is to go on."""
    ids = [BOS]
    for content in contents:
        ids += [TURN, *encode([content])[0], END]
    return [*ids, TURN, *answer]


CONVERSATION = (SYSTEM, ASKED, SAID, FURTHER)


def learned(answer: Sequence[int] = ()) -> Template:
    made = template(rendered(CONVERSATION[:2], answer), rendered(CONVERSATION, answer), encode)
    assert made
    return made


@pytest.mark.parametrize("answer", [(), (THINK, THINK)])
@pytest.mark.parametrize(
    "contents", [["Be brief.", "Why?"], ["Be brief.", "Why?", "So.", "And?", "No.", "Ah?"]]
)
def test_a_prompt_is_what_the_server_would_make_of_its_messages(
    contents: list[str], answer: tuple[int, ...]
) -> None:
    made = learned(answer).encode([[content] for content in contents], encode)
    assert made
    assert list(made.ids) == rendered(contents, answer)


@given(st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=5))
def test_pieces_end_where_it_says(pieces: list[str]) -> None:
    message = Message.of("user", pieces)
    assert "".join(message.pieces) == message.content == "".join(pieces)
    made = learned().encode([["Be brief."], message.pieces], encode)
    assert made
    starts = [made.ends[0], *made.ends[1:-1]]
    for start, end, piece in zip(starts, made.ends[1:], message.pieces, strict=True):
        assert encode([piece])[0] == list(made.ids[max(start, end - len(piece)) : end])
    assert list(made.ids) == rendered(["Be brief.", "".join(pieces)])


def merged(contents: Sequence[str]) -> list[int]:
    """A template whose text melts with what stands beside it."""
    return encode(["".join(f"<{content}>" for content in contents).upper()])[0]


def test_a_template_that_cannot_be_taken_apart_is_none() -> None:
    assert template(merged(CONVERSATION[:2]), merged(CONVERSATION), encode) is None
    other = rendered(CONVERSATION[:2])
    other[0] = 9  # it begins otherwise where there is one question
    assert template(other, rendered(CONVERSATION), encode) is None
    assert template(rendered(CONVERSATION[:2]), rendered(CONVERSATION), lambda texts: None) is None


def test_without_ids_of_the_text_there_is_no_prompt() -> None:
    assert learned().encode([["a"], ["b"]], lambda texts: None) is None


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_find(ids: list[int], part: list[int]) -> None:
    there = [at for at in range(len(ids)) if ids[at : at + len(part)] == part]
    assert find(ids, part) == (there[0] if there else None)
