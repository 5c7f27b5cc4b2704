"""A follow-up made self-contained by the model, where the settings ask for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import aclosing

from rag.conversation import Turn, without_marks
from rag.errors import RagError
from rag.followup import BACK, standalone
from rag.forgery import harmless
from rag.ports import Generator, Message

log = logging.getLogger(__name__)

LONGEST = 500  # characters of a rewritten question, and of each answer that the model is shown
TOKENS = 96

SYSTEM = (
    "You rewrite the last question of a conversation so that it can be understood without the conversation: put in "
    "the names, things and dates that its pronouns and omissions mean. Write only the question."
)


async def rewritten(generator: Generator, question: str, turns: Sequence[Turn]) -> str:
    """By the model; by rule where it fails or writes nothing that can be a question."""
    if not turns:
        return question
    try:
        text = await _generated(generator, _messages(question, turns[-BACK:]))
    except RagError as error:
        log.warning("a follow-up was not rewritten by the model: %s", error)
        text = ""
    line = next(iter(text.strip().splitlines()), "").strip()
    return line if 0 < len(line) <= LONGEST else standalone(question, turns)


def _messages(question: str, turns: Sequence[Turn]) -> list[Message]:
    said = [f"User: {turn.question}\nAnswer: {without_marks(turn.text)[:LONGEST]}" for turn in turns]
    text = "\n".join([*said, f"Last question: {question}"])
    return [Message("system", SYSTEM), Message("user", harmless(text))]


async def _generated(generator: Generator, messages: Sequence[Message]) -> str:
    stream = generator.stream(messages, max_tokens=TOKENS, temperature=0.0)
    async with aclosing(stream) as deltas:
        return "".join([delta.text async for delta in deltas])
