"""The whole of openbook in one class: question -> retrieve -> pack -> prompt -> generate -> cite -> answer.

A question of a conversation comes after its earlier turns; one that stands alone is a conversation of one turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from rag import account, filters, followup, rewrite
from rag.admission import Gate, Ticket
from rag.admission import Waiting as Waiting
from rag.collection_settings import TARGET_TTFT_MS, CollectionSettings
from rag.conversation import Turn
from rag.conversations import Conversations
from rag.errors import RagError
from rag.gather import USUAL_TOKENS, gather, read_pinned
from rag.gather import Limits as Limits
from rag.grow import Asked
from rag.pinned import SHARE, Pinned, Pins
from rag.plan import Costs, Plan, plan
from rag.ports import Embedder, Generator, ModelInfo, Reader, Reranker, Store, TokenCounter
from rag.question import Question
from rag.reading import read
from rag.remembered import Remembered
from rag.reply import Reply
from rag.residency import Residency
from rag.retrieve import Search, retrieve
from rag.serving import Serving
from rag.stages import Stages
from rag.types import Answer, Context, Hit, Receipt
from rag.usual import Usual

T = TypeVar("T")


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
        costs: Costs | None = None,
        gate: Gate | None = None,
        collection_settings: CollectionSettings | None = None,
        usual: Usual | None = None,
    ) -> None:
        self.store, self.embedder, self.tokens = store, embedder, tokens
        self.generator, self.limits, self.reranker = generator, limits, reranker
        self.conversations, self.rewrite_follow_ups = conversations or Conversations(), rewrite_follow_ups
        self.collection_settings = collection_settings or CollectionSettings()
        self.pins, self.usual = Pins(self.collection_settings), usual or Usual()
        self._served: ModelInfo | None = None
        self.remembered = Remembered(tokens)
        self.serving = Serving(gate or Gate(), Residency(self.remembered), costs)

    async def stream(self, question: Question) -> AsyncGenerator[Event, None]:
        """A Reading, Waitings as long as others come first, Pieces, then the Answer, which its conversation has by
        then. Raises RagErrors, also between events; Overloaded before the first one."""
        stages, ticket = Stages(), Ticket(question.priority, question.client)
        with self.serving.gate.entered(ticket), self.conversations.taking_turn(question.conversation):
            turns = await self.check(question)
            searched_for = await self._standalone(question, turns, stages)
            made, size = await self._made(question, searched_for, turns, stages)
            receipt = account.receipt(question, size, made, self.tokens.exact)
            if made.context.blocks:
                self.serving.weigh(ticket, made)
            yield Reading(replace(receipt, seconds=stages.snapshot()), searched_for)
            if made.context.blocks:
                model = made.server.model
                reply = Reply(self.generator, model, self.limits.reserve(question, model.window), stages)
                events = self.serving.events(made, ticket, reply, question.temperature)
                async with aclosing(events):
                    async for event in events:
                        yield Piece(event) if isinstance(event, str) else event
                answer = await asyncio.to_thread(
                    account.answered, question, reply, made.context, made.hits, receipt, stages
                )
            else:
                answer = account.nothing_read(question, made.context, made.hits, receipt, stages)
            turn = made.grown.turn(answer.text)
            await asyncio.to_thread(self.conversations.add, question.conversation, turn, answer)
            if made.begun and not made.grown.past:
                await asyncio.to_thread(self.usual.note, question.collections, made.begun)
        yield answer

    async def answer(self, question: Question) -> Answer:
        """The last event of ``stream``."""
        async with aclosing(self.stream(question)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise AssertionError("a stream ends with an answer")

    async def plan(self, question: Question) -> Plan:
        """What would be sent now for a question that stands alone."""
        await self.check(question)
        model = await self.generator.model()
        work = partial(self._planned, question, question.text, (), model, Stages())
        made, _ = await self._reading(question, work)
        return made

    async def check(self, question: Question) -> Sequence[Turn]:
        """Raises what is wrong with a question before a model is asked anything. The turns before it."""
        self.limits.check(question.text)
        filters.check(question.among)
        return await self._reading(question, lambda index: self.conversations.turns(question.conversation))

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

    async def _reading(self, question: Question, work: Callable[[Reader], T]) -> T:
        return await asyncio.to_thread(read, self.store, question.collections, work)

    async def _made(
        self, question: Question, searched_for: str, turns: Sequence[Turn], stages: Stages
    ) -> tuple[Plan, tuple[int, int]]:
        """For the model that was served last, while the server is asked which one it serves now."""
        asking = asyncio.create_task(self.generator.model())
        try:
            model = self._served or await asking
            while True:
                work = partial(self._planned, question, searched_for, turns, model, stages)
                try:
                    made = await self._reading(question, work)
                except RagError:
                    if await asking == model:
                        raise
                self._served = await asking
                if self._served == model:
                    return made
                model = self._served
        finally:
            asking.cancel()

    async def _standalone(self, question: Question, turns: Sequence[Turn], stages: Stages) -> str:
        if turns and self.rewrite_follow_ups:
            with stages("rewrite"):
                return await rewrite.rewritten(self.generator, question.text, turns)
        return followup.standalone(question.text, turns)

    def _planned(
        self,
        question: Question,
        searched_for: str,
        turns: Sequence[Turn],
        model: ModelInfo,
        stages: Stages,
        index: Reader,
    ) -> tuple[Plan, tuple[int, int]]:
        server = self.serving.known(model)
        budget = self.limits.budget(question, model.window, self.remembered)
        hits = self._retrieved(question, searched_for, self.limits.hits(budget.documents), stages, index)
        with stages("read"):
            pinned = self.pinned(question, index, budget.documents)
            material = gather(index, question, hits, budget.documents, self.remembered, pinned)
            size = index.size(question.among)
        asked = Asked(question, searched_for, material, turns, partial(self.serving.residency.lead, model))
        of_collections = self.collection_settings.values(TARGET_TTFT_MS, question.collections)
        target_s = self.limits.target_s(question, of_collections)
        with stages("pack"):
            made = plan(index, asked, budget, self.remembered, server, target_s)
        return made, size

    def _gathered(self, question: Question, budget: int, index: Reader) -> Context:
        hits = self._retrieved(question, question.text, self.limits.hits(budget), Stages(), index)
        pinned = self.pinned(question, index, budget)
        return gather(index, question, hits, budget, self.remembered, pinned).context(budget)

    def pinned(self, question: Question, index: Reader, budget: int) -> Pinned:
        """What is read first for a question with so many tokens for documents."""
        ids = [pin.id for pin in self.pins.of(question.collections)]
        return read_pinned(index, question, ids, budget // SHARE, self.remembered)

    def _retrieved(
        self, question: Question, searched_for: str, limit: int, stages: Stages, index: Reader
    ) -> list[Hit]:
        with stages("embed"):
            vector = self.embedder.embed_query(searched_for)
        with stages("search"):
            search = Search(searched_for, vector, limit, question.among or None)
            return retrieve(index, search, self.reranker)
