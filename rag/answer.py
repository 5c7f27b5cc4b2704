"""The whole of openbook in one class: question -> retrieve -> pack -> prompt -> generate -> cite -> answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from rag import account, filters, prompt
from rag.gather import USUAL_TOKENS, gather
from rag.gather import Limits as Limits
from rag.ports import Embedder, Generator, Reader, Reranker, Store, TokenCounter
from rag.reading import read
from rag.reply import Reply
from rag.retrieve import Search, retrieve
from rag.stages import Stages
from rag.types import Answer, Context, Hit, Question, Receipt

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """The first event of an answer: what the model is about to read. The receipt is not complete yet."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer, as it arrives."""

    text: str


Event = Reading | Piece | Answer


class Rag:
    """Answers questions over the collections of one store with one model."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        tokens: TokenCounter,
        generator: Generator,
        limits: Limits,
        reranker: Reranker | None = None,
    ) -> None:
        self.store, self.embedder, self.tokens = store, embedder, tokens
        self.generator, self.limits, self.reranker = generator, limits, reranker

    async def stream(self, question: Question) -> AsyncGenerator[Event, None]:
        """A Reading, Pieces, then the Answer. Raises RagErrors, also between events."""
        stages = Stages()
        await self.check(question)
        model = await self.generator.model()
        budget = await asyncio.to_thread(self.limits.budget, question, model.window, self.tokens)
        hits, context, size = await self._reading(question, partial(self._gathered, question, budget, stages))
        receipt = account.receipt(question, size, len(hits), context, model.name, self.tokens.exact)
        yield Reading(replace(receipt, seconds=stages.snapshot()))
        if not context.blocks:
            yield account.nothing_read(question, context, hits, receipt, stages)
            return
        reply, messages = Reply(), prompt.messages(context, question.text)
        reserve = self.limits.reserve(question, model.window)
        pieces = reply.pieces(self.generator, messages, reserve, question.temperature, stages)
        async with aclosing(pieces) as texts:
            async for text in texts:
                yield Piece(text)
        yield await asyncio.to_thread(account.answered, question, reply, context, hits, receipt, stages)

    async def answer(self, question: Question) -> Answer:
        """The last event of ``stream``."""
        async with aclosing(self.stream(question)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise AssertionError("a stream ends with an answer")

    async def check(self, question: Question) -> None:
        """Raises what is wrong with a question before a model is asked anything."""
        self.limits.check(question.text)
        filters.check(question.among)
        await self._reading(question, lambda index: None)

    async def read(self, question: Question) -> Context:
        """What would be read for a question, in ``max_context_tokens`` tokens; no model is asked."""
        await self.check(question)
        budget = question.max_context_tokens or self.limits.context_tokens or USUAL_TOKENS
        _, context, _ = await self._reading(question, partial(self._gathered, question, budget, Stages()))
        return context

    async def search(self, question: Question, limit: int) -> list[Hit]:
        """Passages for a question, best first, without asking the model."""
        await self.check(question)
        return await self._reading(question, partial(self._retrieved, question, limit, Stages()))

    async def _reading(self, question: Question, work: Callable[[Reader], T]) -> T:
        return await asyncio.to_thread(read, self.store, question.collections, work)

    def _gathered(
        self, question: Question, budget: int, stages: Stages, index: Reader
    ) -> tuple[list[Hit], Context, tuple[int, int]]:
        hits = self._retrieved(question, self.limits.hits(budget), stages, index)
        with stages("pack"):
            context = gather(index, question, hits, budget, self.tokens)
        return hits, context, index.size(question.among)

    def _retrieved(self, question: Question, limit: int, stages: Stages, index: Reader) -> list[Hit]:
        with stages("embed"):
            vector = self.embedder.embed_query(question.text)
        with stages("search"):
            search = Search(question.text, vector, limit, question.among or None)
            return retrieve(index, search, self.reranker)
