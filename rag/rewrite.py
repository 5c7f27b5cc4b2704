"""A follow-up made self-contained by the model, where the settings ask for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

from rag.conversation import Turn, without_marks
from rag.errors import ModelUnavailable, RagError
from rag.followup import BACK, standalone
from rag.forgery import harmless
from rag.ports import Generator, Message
from rag.served import Served

log = logging.getLogger(__name__)

LONGEST = 500  # characters of a rewritten question, and of each answer that the model is shown
TOKENS = 96

SYSTEM = (
    "You rewrite the last question of a conversation so that it can be understood without the conversation: put in "
    "the names, things and dates that its pronouns and omissions mean. Write only the question."
)


async def rewritten(
    models: Sequence[Served], question: str, turns: Sequence[Turn], told: Callable[[str], None]
) -> str:
    """By the first of the models that does it; by rule where none does, or what it writes can be no question.
    ``told`` hears of a model that another stood in for."""
    if not turns:
        return question
    messages, text = _messages(question, turns[-BACK:]), ""
    for model in models:
        try:
            text = await _generated(model.generator, messages)
            break
        except RagError as error:
            log.warning("a follow-up was not rewritten by %s: %s", model.name, error)
            if isinstance(error, ModelUnavailable):
                model.health.failed(error.message)
            told(f"The follow-up was not rewritten by {model.name}: {error.message}")
    line = next(iter(text.strip().splitlines()), "").strip()
    return line if 0 < len(line) <= LONGEST else standalone(question, turns)


def _messages(question: str, turns: Sequence[Turn]) -> list[Message]:
    said = [f"User: {turn.question}\nAnswer: {without_marks(turn.text)[:LONGEST]}" for turn in turns]
    text = "\n".join([*said, f"Last question: {question}"])
    return [Message("system", SYSTEM), Message("user", harmless(text))]


async def _generated(generator: Generator, messages: Sequence[Message]) -> str:
    stream = generator.stream(messages, max_tokens=TOKENS)
    async with aclosing(stream) as deltas:
        return "".join([delta.text async for delta in deltas])
