"""Asking the served model outside of the engine: for the baseline, for the closed book, for needles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass

from rag.answer import Rag
from rag.errors import ModelUnavailable
from rag.ports import Message, ModelInfo
from rag.types import Usage

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


@dataclass(frozen=True, slots=True)
class Timed:
    """``ttft`` is seconds to the first text, or to the end where there is none."""

    text: str
    ttft: float
    usage: Usage | None


async def timed(rag: Rag, messages: Sequence[Message], max_tokens: int) -> Timed:
    """Raises ModelUnavailable, ContextTooLong and ModelRefused."""
    began, first = time.perf_counter(), None
    text, usage = "", None
    stream = rag.generator.stream(messages, max_tokens=max_tokens)
    async with aclosing(stream) as deltas:
        async for delta in deltas:
            if delta.text and first is None:
                first = time.perf_counter()
            text, usage = text + delta.text, delta.usage or usage
    return Timed(text.strip(), (first or time.perf_counter()) - began, usage)


async def complete(rag: Rag, messages: Sequence[Message]) -> str:
    """Raises as ``timed``."""
    return (await timed(rag, messages, await reserve(rag))).text


async def closed_book(rag: Rag, question: str) -> str:
    """What the same model says without any document: what it knows by heart, or guesses."""
    return await complete(rag, [Message("system", CLOSED_BOOK), Message("user", question)])
