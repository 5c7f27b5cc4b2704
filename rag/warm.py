"""Warm-up: what questions will begin with is prefilled before they are asked, while nobody else waits.

In this order, as far as a share of the server's cache holds it: of each collection the instructions and what is read
for every question of it, which is what is pinned, or all of a small one; what several of the latest questions began
with; questions that are given. Each prompt ends where a block of it ends, since what comes behind differs, and a model
with recurrent layers can go on only from where a request ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from rag import conversation, prompt
from rag.answer import Rag
from rag.conversation import Ref
from rag.errors import CollectionNotFound, ModelRefused, StoreError
from rag.gather import Counted, read_always
from rag.ports import ModelInfo, Reader
from rag.prefix_cache import Key
from rag.question import Question
from rag.residency import Prompt
from rag.types import Block, Context
from rag.usual import Beginning

log = logging.getLogger(__name__)

SHARE = 4  # of the server's cache, one part in so many is warmed at most


@dataclass(frozen=True, slots=True)
class Warmed:
    """``tokens`` of a prompt's beginning, of which ``new`` were prefilled now, in ``seconds``. ``left_out``: it would
    have been too much for the cache."""

    what: str
    tokens: int
    new: int = 0
    seconds: float = 0.0
    left_out: bool = False


class WarmUp:
    """Of one engine."""

    def __init__(self, rag: Rag) -> None:
        self._rag = rag
        self._chains: list[Sequence[Key]] = []  # of the cache blocks that are to be warm
        self._one = asyncio.Lock()  # at a time: two would read the same

    async def possible(self) -> bool:
        """Whether the server tells what its cache is, and takes prompts as ids. Raises ModelUnavailable."""
        return _tells(await self._rag.generator.model())

    @property
    def resident(self) -> int | None:
        """Tokens of what was warmed that the server is expected to hold now; None where that is not known."""
        return self._rag.serving.residency.resident(self._chains)

    async def run(
        self, collections: Sequence[str] = (), questions: Sequence[Question] = ()
    ) -> AsyncGenerator[Warmed, None]:
        """Of all collections where none are named; then those that cannot be read are left out. What the server holds
        already costs nothing. Raises ModelRefused where the server tells too little, and what questions raise."""
        model = await self._rag.generator.model()
        if model.cache is None or not _tells(model):
            raise ModelRefused(
                "The model server does not tell what its prefix cache is, so nothing can be warmed in it.",
                "vLLM tells it where prefix caching is on, which is the default.",
            )
        most = model.cache.blocks // SHARE
        beginnings = self._beginnings(model, collections, questions)
        async with self._one, aclosing(beginnings):
            if not collections:
                self._chains = []
            async for what, wanted in beginnings:
                keys = self._rag.serving.residency.keys(model, wanted)
                if len(set(keys).union(*self._chains)) > most:
                    warmed = Warmed(what, len(wanted.ids), left_out=True)
                else:
                    self._chains.append(keys)
                    warmed = await self._warm(what, model, wanted)
                _tell(warmed)
                yield warmed

    async def _beginnings(
        self, model: ModelInfo, collections: Sequence[str], questions: Sequence[Question]
    ) -> AsyncGenerator[tuple[str, Prompt], None]:
        """Each with what it is."""
        yield "the instructions", await asyncio.to_thread(self._prompt, model, ())
        for name in collections or await asyncio.to_thread(self._rag.store.names):
            try:
                blocks = await self._reading((name,), partial(self._of_every_question, model, name))
            except StoreError as error:
                if collections:
                    raise
                log.warning("warm-up: %s", error)
                continue
            if blocks:
                yield f"every question of {name}", await asyncio.to_thread(self._prompt, model, blocks)
        for often in await asyncio.to_thread(self._rag.usual.beginnings):
            if collections and not set(often.collections) <= set(collections):
                continue
            try:
                blocks = await self._reading(often.collections, partial(self._of_many, model, often))
            except (CollectionNotFound, StoreError):  # gone since, or told above
                continue
            of = ", ".join(often.collections)
            yield f"many questions of {of}", await asyncio.to_thread(self._prompt, model, blocks)
        for question in questions:
            made = await self._rag.plan(question)
            yield f"the question {question.text!r}", made.prompt.shared

    async def _reading(
        self, collections: Sequence[str], work: Callable[[Reader], Sequence[Block]]
    ) -> Sequence[Block]:
        return await asyncio.to_thread(self._rag.reading, collections, work)

    def _of_every_question(self, model: ModelInfo, collection: str, index: Reader) -> Sequence[Block]:
        question = Question("", collection)
        budget = self._rag.limits.budget(question, model.window, self._rag.remembered).documents
        pinned = self._rag.pinned(question, index, budget)
        return read_always(index, question, budget, self._rag.remembered, pinned).blocks

    def _of_many(self, model: ModelInfo, often: Beginning, index: Reader) -> Sequence[Block]:
        """Up to the first that has changed since."""
        question = Question("", often.collections)
        budget = self._rag.limits.budget(question, model.window, self._rag.remembered).documents
        pinned, counted = self._rag.pinned(question, index, budget), Counted(index, self._rag.remembered)
        ids = sorted({name.document_id for name in often.names} - pinned.ids)
        documents = {document.id: document for document in index.documents(ids)}
        blocks = list(pinned.blocks)
        for name in often.names:
            if (document := documents.get(name.document_id)) is None:
                break
            ref = Ref(len(blocks) + 1, name.document_id, name.revision, name.first, name.last)
            block = conversation.block_of(ref, document, counted.read(document, (name.first, name.last)))
            if block is None:
                break
            blocks.append(block)
        return blocks

    def _prompt(self, model: ModelInfo, blocks: Sequence[Block]) -> Prompt:
        messages = prompt.messages(Context(tuple(blocks), (), 0, 0), "")
        return self._rag.serving.residency.prompt(model, messages, blocks).shared

    async def _warm(self, what: str, model: ModelInfo, wanted: Prompt) -> Warmed:
        assert model.cache
        tokens, block, cached = len(wanted.ids), model.cache.block_size, wanted.cached or 0
        if cached >= tokens // block * block:
            return Warmed(what, tokens)
        server = await asyncio.to_thread(self._rag.serving.known, model)
        reply = await self._rag.serving.warm(wanted, server, self._rag.generator)
        cached = cached if reply.cached is None else reply.cached
        return Warmed(what, tokens, tokens - cached, reply.stages.snapshot()["first_token"])


def _tell(warmed: Warmed) -> None:
    if warmed.left_out:
        log.info("warm-up: %s: %d tokens are too much for the cache", warmed.what, warmed.tokens)
    elif warmed.new:
        told = (warmed.what, warmed.tokens, warmed.new, warmed.seconds)
        log.info("warm-up: %s: %d tokens, %d of them new, %.1f s", *told)


def _tells(model: ModelInfo) -> bool:
    return model.cache is not None and model.template is not None
