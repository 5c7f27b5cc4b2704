"""The whole of openbook in one class: question -> retrieve -> pack -> prompt -> generate -> cite -> answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from rag import cite, prompt
from rag.errors import BadRequest, ContextTooLong, QuestionTooLong
from rag.pack import pack, pack_whole
from rag.ports import Delta, Embedder, Generator, Index, Message, Store, TokenCounter
from rag.reading import read
from rag.text import repetition
from rag.types import Answer, Block, Context, Document, Hit, Passage, Question, Read, Receipt

# Documents of a corpus that is small enough to be read whole are few; a longer catalog is not even summed up.
WHOLE_CORPUS_DOCUMENTS = 500
# Passages read from the index on either side of a hit: more than a budget lets most hits grow, and a bound on
# what a question costs however long the documents are.
REACH = 32
# Tokens of documents where nothing else is said: more of them help few models.
USUAL_CONTEXT_TOKENS = 32768
# The chat template around two messages, and what joins between counted pieces may add, in tokens.
TEMPLATE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """``context_tokens`` and ``answer_tokens`` of None: by the model's window."""

    search: int = 48
    question_characters: int = 8000
    context_tokens: int | None = None
    answer_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The first event of an answer: what the model is about to read. The receipt is not complete yet."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer, as it arrives."""

    text: str


Event = Reading | Piece | Answer


@dataclass(slots=True)
class _Reply:
    """What has come from the model so far."""

    text: str = ""
    last: Delta = field(default_factory=Delta)

    def add(self, delta: Delta) -> None:
        self.text += delta.text
        self.last = Delta("", delta.finish_reason or self.last.finish_reason, delta.usage or self.last.usage)

    def is_circling(self, delta: Delta) -> bool:
        """Small models repeat themselves until they are stopped. Looks only where a sentence may have ended;
        the text is then cut to what was new."""
        if not delta.text.strip(" \n").endswith((".", "!", "?")) and "\n" not in delta.text:
            return False
        cut = repetition(self.text)
        if cut is None:
            return False
        self.text = self.text[:cut]
        self.last = replace(self.last, finish_reason="repetition")
        return True


class Stages:
    """Seconds of each stage, in the order in which they ended; ``total`` runs from the beginning."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] = round(self._seconds.get(name, 0.0) + seconds, 4)

    def snapshot(self) -> dict[str, float]:
        return {**self._seconds, "total": round(time.perf_counter() - self._began, 4)}


class Rag:
    """Answers questions over the collections of one store with one model."""

    def __init__(
        self, store: Store, embedder: Embedder, tokens: TokenCounter, generator: Generator, limits: Limits
    ) -> None:
        self.store, self.embedder, self.tokens = store, embedder, tokens
        self.generator, self.limits = generator, limits

    async def answer(self, question: Question) -> Answer:
        """The last event of ``stream``."""
        async with aclosing(self.stream(question)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise AssertionError("a stream ends with an answer")

    async def stream(self, question: Question) -> AsyncGenerator[Event, None]:
        """A Reading, Pieces, then the Answer. Raises RagErrors, also between events."""
        stages = Stages()
        self.check(question.text)
        hits = await self._hits(question.collection, question.text, stages)
        model = await self.generator.model()
        reserve = question.max_answer_tokens or self.limits.answer_tokens or min(1024, model.window // 8)
        budget = await asyncio.to_thread(self._budget, question, model.window, reserve)

        def packed(index: Index) -> tuple[Context, Receipt]:
            with stages("pack"):
                context = self._pack(index, hits, budget)
            return context, self._receipt(index, question, hits, context, model.name)

        context, receipt = await asyncio.to_thread(read, self.store, question.collection, packed)
        yield Reading(replace(receipt, seconds=stages.snapshot()))
        if not context.blocks:
            yield self._nothing_read(question, receipt, stages)
            return
        reply = _Reply()
        sent = prompt.messages(context, question.text)
        async with aclosing(self._generate(sent, reserve, question.temperature, stages)) as deltas:
            async for delta in deltas:
                reply.add(delta)
                if delta.text:
                    yield Piece(delta.text)
                if reply.is_circling(delta):
                    break
        yield await asyncio.to_thread(self._cited, question, context.blocks, reply, receipt, stages)

    async def search(self, text: str, collection: str, limit: int) -> list[Hit]:
        """Passages for a question, best first, without asking the model."""
        self.check(text)
        return await self._hits(collection, text, Stages(), limit)

    async def read(self, question: Question) -> Context:
        """What a model with room for ``max_context_tokens`` would read. No model is asked, not even for its window."""
        self.check(question.text)
        hits = await self._hits(question.collection, question.text, Stages())
        budget = question.max_context_tokens or self.limits.context_tokens or USUAL_CONTEXT_TOKENS
        packed = partial(self._pack, hits=hits, budget=budget)
        return await asyncio.to_thread(read, self.store, question.collection, packed)

    def check(self, text: str) -> None:
        """Raises BadRequest for a question that is empty or no text, QuestionTooLong for a long one."""
        if not text.strip():
            raise BadRequest("The question is empty.", "Ask something.")
        if len(text) > self.limits.question_characters:
            raise QuestionTooLong.of(len(text), self.limits.question_characters)
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise BadRequest("The question holds half a character (a lone surrogate).", "Send valid UTF-8.")

    async def _hits(self, collection: str, text: str, stages: Stages, limit: int | None = None) -> list[Hit]:
        def retrieved(index: Index) -> list[Hit]:
            with stages("embed"):
                vector = self.embedder.embed_query(text)
            with stages("search"):
                return index.search(text, vector, limit or self.limits.search)

        return await asyncio.to_thread(read, self.store, collection, retrieved)

    def _budget(self, question: Question, window: int, reserve: int) -> int:
        """Tokens for documents: what was asked for, else what is set, and never more than the window leaves."""
        fixed = sum(self.tokens.count([prompt.SYSTEM, question.text])) + TEMPLATE_TOKENS
        room = window - reserve - fixed
        if room <= 0:
            raise ContextTooLong(
                f"The question and an answer of {reserve:,} tokens leave no room for documents "
                f"in the model's window of {window:,} tokens.",
                "Ask a shorter question or lower max_answer_tokens.",
                needed=reserve + fixed,
                budget=window,
            )
        usual = self.limits.context_tokens or min(USUAL_CONTEXT_TOKENS, room)
        return min(room, question.max_context_tokens or usual)

    def _pack(self, index: Index, hits: Sequence[Hit], budget: int) -> Context:
        if not hits:
            return Context((), (), 0, budget)
        if whole := self._whole_corpus(index, budget):
            return whole
        documents = {hit.document.id: hit.document for hit in hits}
        texts = {id_: self._around(index, document, hits) for id_, document in documents.items()}
        known = {(id_, p.ordinal): p for id_, passages in texts.items() for p in passages}
        # A document may be replaced between search and read: its hits of the old revision are gone.
        current = [
            replace(hit, passage=passage)
            for hit in hits
            if (passage := known.get((hit.document.id, hit.passage.ordinal)))
        ]
        return pack(current, texts, budget, self._header_tokens(list(documents.values()), texts))

    def _around(self, index: Index, document: Document, hits: Sequence[Hit]) -> list[Passage]:
        """A document's passages within REACH of its hits; nothing where it has been replaced meanwhile."""
        ordinals = sorted(hit.passage.ordinal for hit in hits if hit.document.id == document.id)
        stretches: list[tuple[int, int]] = []
        for ordinal in ordinals:
            first, last = ordinal - REACH, ordinal + REACH
            if stretches and first <= stretches[-1][1] + 1:
                first = stretches.pop()[0]
            stretches.append((first, last))
        read = [p for stretch in stretches for p in index.read(document.id, stretch)]
        return self._counted(document, [p for p in read if p.revision == document.revision])

    def _whole_corpus(self, index: Index, budget: int) -> Context | None:
        if index.size()[0] > WHOLE_CORPUS_DOCUMENTS:
            return None
        documents = index.documents()
        if sum(document.tokens for document in documents) > 2 * budget:  # by whichever tokenizer: cannot fit
            return None
        texts = {document.id: self._counted(document, index.read(document.id)) for document in documents}
        for document in documents:  # one that has been replaced or removed meanwhile is not read whole
            of_it = [p for p in texts[document.id] if p.revision == document.revision]
            if len(of_it) != document.passages:
                return None
        return pack_whole(documents, texts, budget, self._header_tokens(documents, texts))

    def _counted(self, document: Document, passages: list[Passage]) -> list[Passage]:
        """Passages with token counts of the model that is served now."""
        if document.tokenizer == self.tokens.name:
            return passages
        counts = self.tokens.count([passage.text for passage in passages])
        return [replace(passage, tokens=count) for passage, count in zip(passages, counts, strict=True)]

    def _header_tokens(
        self, documents: Sequence[Document], texts: Mapping[str, Sequence[Passage]]
    ) -> dict[str, int]:
        headings = [prompt.widest_heading(document, texts[document.id]) for document in documents]
        counts = self.tokens.count(headings)
        return {document.id: count for document, count in zip(documents, counts, strict=True)}

    async def _generate(
        self, messages: Sequence[Message], max_tokens: int, temperature: float, stages: Stages
    ) -> AsyncGenerator[Delta, None]:
        """Closing it ends the generation on the server too."""
        began, first = time.perf_counter(), None
        stream = self.generator.stream(messages, max_tokens=max_tokens, temperature=temperature)
        try:
            async with aclosing(stream) as deltas:
                async for delta in deltas:
                    if delta.text and first is None:
                        first = time.perf_counter()
                        stages.add("first_token", first - began)
                    yield delta
        finally:
            stages.add("generate", time.perf_counter() - (first or began))

    def _cited(
        self, question: Question, blocks: Sequence[Block], reply: _Reply, receipt: Receipt, stages: Stages
    ) -> Answer:
        text = reply.text.strip()
        found = bool(text) and not prompt.says_not_found(text)
        with stages("cite"):
            citations, unsupported = cite.resolve(text, blocks) if found else ((), ())
        return Answer(
            question=question.text,
            text=text,
            answerable=found,
            reason=None if found else "The model found no answer in what it read.",
            citations=citations,
            unsupported=unsupported,
            finish_reason=reply.last.finish_reason,
            receipt=replace(
                receipt,
                usage=reply.last.usage,
                seconds=stages.snapshot(),
                warnings=(*receipt.warnings, *_warnings(reply.last.finish_reason)),
            ),
        )

    def _nothing_read(self, question: Question, receipt: Receipt, stages: Stages) -> Answer:
        reason = (
            f"Nothing in collection {question.collection!r} matches the question."
            if receipt.hits == 0
            else f"No passage fits a budget of {receipt.budget_tokens} tokens."
        )
        return Answer(
            question=question.text,
            text=prompt.NOT_FOUND,
            answerable=False,
            reason=reason,
            citations=(),
            unsupported=(),
            finish_reason=None,
            receipt=replace(receipt, seconds=stages.snapshot()),
        )

    def _receipt(
        self, index: Index, question: Question, hits: Sequence[Hit], context: Context, model: str
    ) -> Receipt:
        documents, passages = index.size()
        warnings = (
            [] if self.tokens.exact else ["Token counts are estimates: the model's tokenizer is unknown."]
        )
        return Receipt(
            collection=question.collection,
            documents=documents,
            passages=passages,
            hits=len(hits),
            read=tuple(map(_read, context.blocks)),
            dropped=context.drops,
            context_tokens=context.tokens,
            budget_tokens=context.budget,
            model=model,
            usage=None,
            warnings=tuple(warnings),
        )


def _warnings(finish_reason: str | None) -> Iterator[str]:
    if finish_reason == "repetition":
        yield "The model began to repeat itself; the answer was cut there."
    if finish_reason == "length":
        yield "The answer reached its limit of tokens and may be cut short (max_answer_tokens)."


def _read(block: Block) -> Read:
    document = block.document
    return Read(
        block.number, document.id, document.source, document.title, block.place, block.span, block.tokens
    )
