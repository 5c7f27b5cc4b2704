"""Asking the served model outside of the engine: for the baseline, for the closed book, for needles."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from rag.answer import Rag
from rag.errors import ModelUnavailable
from rag.ports import Message, ModelInfo

CLOSED_BOOK = "Answer the question briefly, with exact numbers and names."


async def served(rag: Rag) -> ModelInfo | None:
    """The model that would answer, or None where no server does."""
    try:
        return await rag.generator.model()
    except ModelUnavailable:
        return None


async def reserve(rag: Rag) -> int:
    """The longest answer, in tokens, that the engine would ask for."""
    return rag.limits.answer_tokens or min(1024, (await rag.generator.model()).window // 8)


async def complete(rag: Rag, messages: Sequence[Message]) -> str:
    """Raises ModelUnavailable, ContextTooLong and ModelRefused."""
    stream = rag.generator.stream(messages, max_tokens=await reserve(rag), temperature=0.0)
    async with aclosing(stream) as deltas:
        return "".join([delta.text async for delta in deltas]).strip()


async def closed_book(rag: Rag, question: str) -> str:
    """What the same model says without any document: what it knows by heart, or guesses."""
    return await complete(rag, [Message("system", CLOSED_BOOK), Message("user", question)])
