"""The whole of openbook in one class: question -> retrieve -> pack -> prompt -> generate -> cite -> answer.

A question of a conversation comes after its earlier turns; one that stands alone is a conversation of one turn.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from rag import account, filters, followup, repository, rewrite, served
from rag.admission import Ticket
from rag.admission import Waiting as Waiting
from rag.answers import Answers
from rag.code.known import Codebases
from rag.code.mapped import map_id
from rag.collection_settings import REPOSITORIES, TARGET_TTFT_MS, CollectionSettings
from rag.conversation import Turn
from rag.conversations import Conversations
from rag.errors import ModelUnavailable, RagError, RerankerUnavailable
from rag.gather import USUAL_TOKENS, gather, read_pinned
from rag.gather import Limits as Limits
from rag.grow import Asked
from rag.observer import Nobody, Observer
from rag.pinned import SHARE, Pinned, Pins
from rag.plan import Plan, plan
from rag.ports import Embedder, Generator, ModelInfo, Reader, Reranker, Store, TokenCounter
from rag.question import Question
from rag.reading import read
from rag.remembered import Remembered
from rag.reply import Reply
from rag.repository import Repository
from rag.retrieve import Search, retrieve
from rag.salt import salt_of, salted
from rag.served import Models, Served
from rag.serving import Serving
from rag.stages import Stages
from rag.stopping import Stopping
from rag.types import Answer, Context, Hit, PassedOver, Receipt
from rag.usual import Usual

log = logging.getLogger(__name__)

T = TypeVar("T")

COMPUTING = 4  # threads, where there are as many processors


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model reads from now on, and what the index was asked for it. The receipt is not complete yet. Another
    one follows where another model takes over."""

    receipt: Receipt
    searched_for: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer, as it arrives."""

    text: str


Event = Waiting | Reading | Piece | Answer


class Rag:
    """Answers questions over the collections of one store, with one of several models: ``served``, which has the
    role answer unless another is to answer (``by``)."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        models: Models,
        reranker: Reranker | None = None,
        conversations: Conversations | None = None,
        rewrite_follow_ups: bool = False,
        collection_settings: CollectionSettings | None = None,
        usual: Usual | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.store, self.embedder, self.reranker = store, embedder, reranker
        self.conversations, self.rewrite_follow_ups = conversations or Conversations(), rewrite_follow_ups
        self.collection_settings = collection_settings or CollectionSettings()
        self.pins, self.usual = Pins(self.collection_settings), usual or Usual()
        self.answers = answers or Answers()
        self.codebases = Codebases(store)
        self.models, self.served = models, models.all[0]
        self.stopping = Stopping()
        self.salt = ""
        self._computing = asyncio.Semaphore(min(COMPUTING, os.cpu_count() or 1))
        self.observer: Observer = Nobody()

    def seen_by(self, tenant: str, store: Store) -> Rag:
        """This one, with the collections of ``store``, and the conversations and past answers of a tenant. Its prompts
        meet nobody else's in the model server's cache."""
        seen = self.through(partial(salted, salt_of(tenant)))
        seen.store, seen.salt = store, salt_of(tenant)
        seen.codebases = self.codebases.through(store)
        seen.conversations, seen.answers = self.conversations.of(tenant), self.answers.of(tenant)
        return seen

    def through(self, wrap: Callable[[Generator], Generator]) -> Rag:
        """This one, asking each model through what ``wrap`` makes of its generator."""
        seen = copy.copy(self)
        seen.served = replace(self.served, generator=wrap(self.generator))
        seen.models = self.models.through(wrap)
        return seen

    def by(self, model: Served) -> Rag:
        """This one, with another of its models to answer."""
        seen = copy.copy(self)
        seen.served = model
        return seen

    @property
    def generator(self) -> Generator:
        return self.served.generator

    @property
    def tokens(self) -> TokenCounter:
        return self.served.tokens

    @property
    def remembered(self) -> Remembered:
        return self.served.remembered

    @property
    def serving(self) -> Serving:
        return self.served.serving

    @property
    def limits(self) -> Limits:
        return self.served.limits

    async def stream(self, question: Question) -> AsyncGenerator[Event, None]:
        """A Reading, Waitings as long as others come first, Pieces, then the Answer, which its conversation has by
        then. Raises RagErrors, also between events; Overloaded before the first one."""
        stages = Stages()
        with self.observer.question(stages) as answered:
            events = self.stopping.guarded(self._answered(question, stages), self.limits.answer_s)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Answer):
                        answered(event)
                    yield event

    async def _answered(self, question: Question, stages: Stages) -> AsyncGenerator[Event, None]:
        """By the first that begins to, of the models that may: what has been said is never said again."""
        wanted = await self.models.wanted(question.model)
        for model in (order := served.in_turn(wanted)):
            begun = False
            try:
                instead_of = served.passed_over(wanted, model)
                async with aclosing(self.by(model)._events(question, stages, instead_of)) as events:
                    async for event in events:
                        begun = begun or isinstance(event, Piece)
                        yield event
                return
            except ModelUnavailable as error:
                model.health.failed(error.message)
                if begun or model is order[-1]:
                    raise (error if begun else served.unanswered(wanted, error)) from None
                log.warning("%s does not answer, another model is asked: %s", model.name, error.message)

    async def _events(
        self, question: Question, stages: Stages, instead_of: tuple[PassedOver, ...] = ()
    ) -> AsyncGenerator[Event, None]:
        ticket = Ticket(question.priority, question.client)
        with self.serving.gate.entered(ticket), self.conversations.taking_turn(question.conversation):
            turns = await self.check(question)
            searched_for = await self._standalone(question, turns, stages)
            made, size = await self._made(question, searched_for, turns, stages)
            receipt = account.receipt(question, size, made, self.tokens.exact)
            receipt = account.by(receipt, self.served.name, instead_of)
            if made.context.blocks:
                self.serving.weigh(ticket, made)
            yield Reading(replace(receipt, seconds=stages.snapshot()), searched_for)
            if made.context.blocks:
                model = made.server.model
                reply = Reply(self.generator, model, self.limits.reserve(question, model.window), stages)
                events = self.serving.events(made, ticket, reply, question.sampling)
                async with aclosing(events):
                    async for event in events:
                        yield Piece(event) if isinstance(event, str) else event
                told = partial(account.answered, question, reply, made.context, made.hits, receipt, stages)
                answer = await self._computed(lambda: told(self.repositories(question.collections)))
            else:
                answer = account.nothing_read(question, made.context, made.hits, receipt, stages)
            answer = await asyncio.to_thread(self._remembered, question, made, answer)
        yield answer

    def _remembered(self, question: Question, made: Plan, answer: Answer) -> Answer:
        """With the id by which it can be looked up."""
        answer = self.answers.keep(question.collections, answer)
        self.conversations.add(question.conversation, made.grown.turn(answer.text), answer)
        if made.begun and not made.grown.past and not self.salt:  # what is warm is warm for the owner alone
            self.usual.note(question.collections, made.begun)
        return answer

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
        self.limits.check(question)
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
        return await self._computed(partial(self.reading, question.collections, work))

    async def _computed(self, work: Callable[[], T]) -> T:
        """On a thread, of which few compute at once: of more, each has the interpreter's lock less often, and the
        event loop waits for it behind all of them."""
        async with self._computing:
            return await asyncio.to_thread(work)

    def reading(self, collections: Sequence[str], work: Callable[[Reader], T]) -> T:
        """What ``work`` makes of these collections and the map of their code. Raises what it and the store raise."""
        tokens = self.remembered
        return read(
            self.store, collections, lambda index: work(self.codebases.mapped(index, collections, tokens))
        )

    async def _made(
        self, question: Question, searched_for: str, turns: Sequence[Turn], stages: Stages
    ) -> tuple[Plan, tuple[int, int]]:
        """For the model that was served last, while the server is asked which one it serves now."""
        asking = asyncio.create_task(self.generator.model())
        try:
            model = self.serving.served or await asking
            while True:
                work = partial(self._planned, question, searched_for, turns, model, stages)
                try:
                    made = await self._reading(question, work)
                except RagError:
                    if await asking == model:
                        raise
                self.serving.served = await asking
                if self.serving.served == model:
                    return made
                model = self.serving.served
        finally:
            asking.cancel()

    async def _standalone(self, question: Question, turns: Sequence[Turn], stages: Stages) -> str:
        if turns and self.rewrite_follow_ups:
            with stages("rewrite"):
                return await rewrite.rewritten(self.models.helping, question.text, turns, stages.notes.append)
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
        server = self.serving.known(model, self.salt)
        budget = self.limits.budget(question, model.window, self.remembered)
        hits = self._retrieved(question, searched_for, self.limits.hits(budget.documents), stages, index)
        with stages("read"):
            pinned = self.pinned(question, index, budget.documents)
            material = gather(index, question, hits, budget.documents, self.remembered, pinned)
            size = index.size(question.among)
        lead = partial(self.serving.residency.lead, model, salt=self.salt)
        asked = Asked(question, searched_for, material, turns, lead)
        of_collections = self.collection_settings.values(TARGET_TTFT_MS, question.collections)
        target_s = self.limits.target_s(question, of_collections)
        with stages("pack"):
            made = plan(index, asked, budget, self.remembered, server, target_s)
        return made, size

    def _gathered(self, question: Question, budget: int, index: Reader) -> Context:
        hits = self._retrieved(question, question.text, self.limits.hits(budget), Stages(), index)
        pinned = self.pinned(question, index, budget)
        return gather(index, question, hits, budget, self.remembered, pinned).context(budget)

    def repositories(self, collections: Sequence[str]) -> list[Repository]:
        """Those that the collections were read from."""
        kept = self.collection_settings.values(REPOSITORIES, collections)
        return [each for of in kept for each in repository.load(of)]

    def pinned(self, question: Question, index: Reader, budget: int) -> Pinned:
        """What is read first for a question with so many tokens for documents."""
        pins = [pin.id for pin in self.pins.of(question.collections)]
        of_code = map_id(question.collections, budget)
        ids = [of_code, *pins] if of_code else pins
        return read_pinned(index, question, ids, budget // SHARE, self.remembered)

    def _retrieved(
        self, question: Question, searched_for: str, limit: int, stages: Stages, index: Reader
    ) -> list[Hit]:
        with stages("embed"):
            vector = self.embedder.embed_query(searched_for)
        with stages("search"):
            search = Search(searched_for, vector, limit, question.among or None)
            codebase = self.codebases.of_index(index, question.collections)
            try:
                return retrieve(index, search, self.reranker, codebase)
            except RerankerUnavailable as error:
                stages.notes.append(f"What was found was not reranked: {error.message}")
                return retrieve(index, search, None, codebase)
