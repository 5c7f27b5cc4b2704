"""The whole of openbook in one class: question -> retrieve -> pack -> prompt -> generate -> cite -> answer.

A question of a conversation comes after its earlier turns; one that stands alone is a conversation of one turn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from rag import account, filters, followup, rewrite
from rag.admission import Gate, Ticket, Waiting
from rag.conversation import Turn
from rag.conversations import Conversations
from rag.gather import USUAL_TOKENS, Budget, gather
from rag.gather import Limits as Limits
from rag.grow import Asked, Grown, grow
from rag.ports import Embedder, Generator, Reader, Reranker, Store, TokenCounter
from rag.prefill import Cost
from rag.reading import read
from rag.reply import Reply
from rag.retrieve import Search, retrieve
from rag.stages import Stages
from rag.types import Answer, Context, Hit, Question, Receipt

T = TypeVar("T")
ROUGHLY = Cost(fixed=0.0, per_token=1e-3, per_pair=0.0)  # of a server that nothing is known of


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model reads from now on, and what the index was asked for it. The receipt is not complete yet."""

    receipt: Receipt
    searched_for: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer, as it arrives."""

    text: str


Event = Waiting | Reading | Piece | Answer


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
        conversations: Conversations | None = None,
        rewrite_follow_ups: bool = False,
        gate: Gate | None = None,
        prefill_s: Callable[[int], float] = ROUGHLY.seconds,
    ) -> None:
        self.store, self.embedder, self.tokens = store, embedder, tokens
        self.generator, self.limits, self.reranker = generator, limits, reranker
        self.conversations, self.rewrite_follow_ups = conversations or Conversations(), rewrite_follow_ups
        self.gate, self.prefill_s = gate or Gate(), prefill_s

    async def stream(self, question: Question) -> AsyncGenerator[Event, None]:
        """Waitings, if others come first, a Reading, Pieces, then the Answer, which its conversation has by then.
        Raises RagErrors, also between events; Overloaded before the first one."""
        stages, ticket = Stages(), Ticket(question.priority, question.client)
        with self.gate.entered(ticket), self.conversations.taking_turn(question.conversation):
            await self.check(question)
            turns = await asyncio.to_thread(self.conversations.turns, question.conversation)
            model = await self.generator.model()
            budget = await asyncio.to_thread(self.limits.budget, question, model.window, self.tokens)
            searched_for = await self._standalone(question, turns, stages)
            work = partial(self._grown, question, searched_for, turns, budget, stages)
            grown, size = await self._reading(question, work)
            hits, context = grown.asked.hits, grown.context
            receipt = account.receipt(question, size, len(hits), context, model.name, self.tokens.exact)
            receipt = replace(receipt, warnings=(*receipt.warnings, *grown.notes()))
            if context.blocks:
                cost_s = self.prefill_s(context.tokens)
                async with aclosing(self._waiting(ticket, cost_s, stages)) as reports:
                    async for waiting in reports:
                        yield waiting
            yield Reading(replace(receipt, seconds=stages.snapshot()), searched_for)
            if context.blocks:
                reply, reserve = Reply(), self.limits.reserve(question, model.window)
                pieces = reply.pieces(self.generator, grown.messages(), reserve, question.temperature, stages)
                async with self.gate.turn(ticket, cost_s) as prefilled, aclosing(pieces) as texts:
                    async for text in texts:
                        prefilled()
                        yield Piece(text)
                answer = await asyncio.to_thread(
                    account.answered, question, reply, context, hits, receipt, stages
                )
            else:
                answer = account.nothing_read(question, context, hits, receipt, stages)
            turn = grown.turn(answer.text)
            await asyncio.to_thread(self.conversations.add, question.conversation, turn, answer)
        yield answer

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
        await asyncio.to_thread(self.conversations.turns, question.conversation)
        await self._reading(question, lambda index: None)

    async def read(self, question: Question) -> Context:
        """What would be read for a question, in ``max_context_tokens`` tokens; no model is asked."""
        await self.check(question)
        budget = question.max_context_tokens or self.limits.context_tokens or USUAL_TOKENS
        return await self._reading(question, partial(self._gathered, question, budget))

    async def search(self, question: Question, limit: int) -> list[Hit]:
        """Passages for a question, best first, without asking the model."""
        await self.check(question)
        return await self._reading(
            question, partial(self._retrieved, question, question.text, limit, Stages())
        )

    async def _waiting(self, ticket: Ticket, cost_s: float, stages: Stages) -> AsyncGenerator[Waiting, None]:
        self.gate.weigh(ticket, cost_s)
        began, waited = time.perf_counter(), False
        async with aclosing(self.gate.waiting(ticket, cost_s)) as reports:
            async for waiting in reports:
                waited = True
                yield waiting
        if waited:
            stages.add("wait", time.perf_counter() - began)

    async def _reading(self, question: Question, work: Callable[[Reader], T]) -> T:
        return await asyncio.to_thread(read, self.store, question.collections, work)

    async def _standalone(self, question: Question, turns: Sequence[Turn], stages: Stages) -> str:
        if turns and self.rewrite_follow_ups:
            with stages("rewrite"):
                return await rewrite.rewritten(self.generator, question.text, turns)
        return followup.standalone(question.text, turns)

    def _grown(
        self,
        question: Question,
        searched_for: str,
        turns: Sequence[Turn],
        budget: Budget,
        stages: Stages,
        index: Reader,
    ) -> tuple[Grown, tuple[int, int]]:
        limit = self.limits.hits(budget.documents)
        hits = self._retrieved(question, searched_for, limit, stages, index)
        with stages("pack"):
            grown = grow(index, Asked(question, searched_for, hits, turns), budget, self.tokens)
        return grown, index.size(question.among)

    def _gathered(self, question: Question, budget: int, index: Reader) -> Context:
        hits = self._retrieved(question, question.text, self.limits.hits(budget), Stages(), index)
        return gather(index, question, hits, budget, self.tokens)

    def _retrieved(
        self, question: Question, searched_for: str, limit: int, stages: Stages, index: Reader
    ) -> list[Hit]:
        with stages("embed"):
            vector = self.embedder.embed_query(searched_for)
        with stages("search"):
            search = Search(searched_for, vector, limit, question.among or None)
            return retrieve(index, search, self.reranker)
