from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import Costly, FakeCounter, FakeEmbedder, FakeGenerator, document, passages, rag_of
from rag import prompt
from rag.admission import Gate, Rules, Waiting
from rag.answer import Event, Limits, Piece, Rag, Reading
from rag.errors import (
    BadRequest,
    CollectionNotFound,
    ContextTooLong,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    QuestionTooLong,
)
from rag.gather import TEMPLATE_TOKENS
from rag.models.tokens import Estimate
from rag.ports import Delta, Index, Message, TokenCounter
from rag.question import GREEDY, Filter, Policy, Question, Sampling
from rag.store.edge import EdgeStore
from rag.types import Answer, Candidate, Document, Passage, Receipt

EMBEDDER = FakeEmbedder()
TOPICS = ["tide gauge", "battery pack", "radio mast", "spare seal", "harbour boat", "rain sensor"]


def put(index: Index, doc: Document, tiles: Sequence[Passage]) -> None:
    index.put(doc, list(tiles), EMBEDDER.embed([tile.text for tile in tiles]))


def counted(source: str, *texts: str) -> tuple[Document, list[Passage]]:
    """A document as the ingestion writes it: with the counts of the tokenizer that is served."""
    tiles = passages(document(source), *texts)
    doc = document(
        source,
        tokens=sum(tile.tokens for tile in tiles),
        passages=len(tiles),
        characters=sum(len(tile.text) for tile in tiles),
        tokenizer=FakeCounter.name,
    )
    return doc, tiles


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    """``small``: two short documents. ``large``: six of twenty passages each. ``empty``."""
    made = EdgeStore(
        tmp_path_factory.mktemp("collections"), embedder=EMBEDDER.name, dimension=EMBEDDER.dimension
    )
    made.open("empty", create=True)
    small = made.open("small", create=True)
    put(
        small,
        *counted("file:///d/manual.txt", "The Heron H2 is a gauge.\n", "Its battery pack lasts 400 days.\n"),
    )
    put(small, *counted("file:///d/notes.txt", "Lunch is at noon.\n"))
    large = made.open("large", create=True)
    for number, topic in enumerate(TOPICS):
        texts = [
            f"Section {at} of the {topic} says that it lasts {100 * number + at} days.\n" for at in range(20)
        ]
        put(large, *counted(f"file:///d/{number}.txt", *texts))
    yield made
    made.close()


def rag(
    store: EdgeStore,
    reply: str = "The battery pack lasts 400 days [1].",
    *,
    limits: Limits | None = None,
    tokens: TokenCounter | None = None,
    generator: FakeGenerator | None = None,
    window: int = 4096,
    **more: Any,
) -> tuple[Rag, FakeGenerator]:
    model = generator or FakeGenerator(reply, window)
    return rag_of(store, EMBEDDER, tokens or FakeCounter(), model, limits or Limits(), **more), model


ASKED = Question("How long does the battery pack last?", "small")
ASKED_LARGE = replace(ASKED, collection="large")


async def events(engine: Rag, question: Question) -> list[Event]:
    return [event async for event in engine.stream(question)]


def adds_up(receipt: Receipt) -> None:
    headers = receipt.context_tokens - sum(read.tokens for read in receipt.read)
    assert headers >= 0
    assert (headers > 0) == bool(receipt.read)
    assert receipt.context_tokens <= receipt.budget_tokens
    assert [read.number for read in receipt.read] == list(range(1, len(receipt.read) + 1))
    stages = {name: seconds for name, seconds in receipt.seconds.items() if name != "total"}
    assert all(seconds >= 0 for seconds in stages.values())
    assert sum(stages.values()) <= receipt.seconds["total"] + 0.01


async def test_a_reading_then_pieces_then_the_answer(store: EdgeStore) -> None:
    engine, model = rag(store)
    first, *pieces, last = await events(engine, ASKED)
    assert isinstance(first, Reading)
    assert isinstance(last, Answer)
    assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == last.text == model.reply
    assert (last.question, last.answerable, last.reason, last.finish_reason) == (
        ASKED.text,
        True,
        None,
        "stop",
    )
    (citation,) = last.citations
    assert (citation.quote, citation.grade) == ("Its battery pack lasts 400 days.", "exact")
    assert last.unsupported == ()

    adds_up(last.receipt)
    adds_up(first.receipt)
    assert {"embed", "search", "read", "pack", "first_token", "generate", "cite", "total"} == set(
        last.receipt.seconds
    )
    assert replace(last.receipt, usage=None, seconds={}) == replace(first.receipt, seconds={})
    assert (last.receipt.documents, last.receipt.passages, last.receipt.hits) == (2, 3, 3)
    assert (last.receipt.collection, last.receipt.model) == ("small", "fake-model")
    sent = sum(FakeCounter().count([message.content for message in model.sent[0]]))
    assert last.receipt.usage
    assert last.receipt.usage.prompt == sent


async def test_answer_is_the_last_event(store: EdgeStore) -> None:
    answer = await rag(store)[0].answer(ASKED)
    assert answer.text == "The battery pack lasts 400 days [1]."


async def test_a_small_corpus_is_read_whole_and_alike_for_every_question(store: EdgeStore) -> None:
    engine, model = rag(store)
    answer = await engine.answer(ASKED)
    await engine.answer(replace(ASKED, text="When is lunch?"))
    assert [(read.number, read.source, str(read.place)) for read in answer.receipt.read] == [
        (1, "file:///d/manual.txt", "lines 1-2"),
        (2, "file:///d/notes.txt", "line 1"),
    ]
    assert answer.receipt.dropped == ()
    one, other = (sent[1].content for sent in model.sent)
    assert one.split("Question:")[0] == other.split("Question:")[0]


async def test_of_a_large_corpus_what_is_found_is_read_or_dropped(store: EdgeStore) -> None:
    engine, model = rag(store, limits=Limits(search=30, context_tokens=300))
    receipt = (await engine.answer(ASKED_LARGE)).receipt
    adds_up(receipt)
    assert (receipt.documents, receipt.passages, receipt.hits, receipt.budget_tokens) == (6, 120, 30, 300)
    dropped = [(drop.document_id, ordinal) for drop in receipt.dropped for ordinal in drop.ordinals]
    assert 0 < len(dropped) < 30
    content = model.sent[0][1].content
    assert "battery pack" in content
    assert content.count("<document [") == len(receipt.read)


@pytest.mark.parametrize(
    ("limit", "asked", "window", "budget"),
    [
        (200, None, 4096, 200),
        (200, 100, 4096, 100),
        (None, 100, 4096, 100),
        (100_000, None, 2048, None),
        (None, 100_000, 2048, None),
        (None, None, 2048, None),
        (None, None, 200_000, 32768),
    ],
)
async def test_the_budget_is_the_least_of_setting_request_and_window(
    store: EdgeStore, limit: int | None, asked: int | None, window: int, budget: int | None
) -> None:
    """None: what the window leaves after instructions, question and answer."""
    engine, _ = rag(store, limits=Limits(context_tokens=limit, answer_tokens=50), window=window)
    answer = await engine.answer(replace(ASKED_LARGE, max_context_tokens=asked))
    fixed = sum(FakeCounter().count([prompt.SYSTEM, ASKED_LARGE.text])) + TEMPLATE_TOKENS + 50
    assert answer.receipt.budget_tokens == (window - fixed if budget is None else budget)


async def test_the_prompt_and_the_answer_fit_into_the_window(store: EdgeStore) -> None:
    for window in (700, 1000, 2000):
        engine, model = rag(store, window=window)
        answer = await engine.answer(replace(ASKED_LARGE, max_answer_tokens=100))
        assert answer.receipt.usage
        assert answer.receipt.usage.prompt + 100 <= window
        assert answer.receipt.read
        assert len(model.sent) == 1


async def test_another_model_than_before_is_planned_for_at_once(store: EdgeStore) -> None:
    engine, model = rag(store, window=2000)
    asked = replace(ASKED_LARGE, max_answer_tokens=100)
    before = await engine.answer(asked)
    model.window = 700
    smaller = await engine.answer(asked)
    assert before.receipt.usage
    assert smaller.receipt.usage
    assert smaller.receipt.usage.prompt + 100 <= 700 < before.receipt.usage.prompt
    model.window = 150
    with pytest.raises(ContextTooLong) as caught:
        await engine.answer(asked)
    assert caught.value.budget == 150
    model.window = 2000
    assert (await engine.answer(asked)).receipt.usage == before.receipt.usage
    model.error = ModelUnavailable("gone")
    with pytest.raises(ModelUnavailable, match="gone"):
        await engine.answer(asked)


async def test_no_room_for_documents(store: EdgeStore) -> None:
    engine, model = rag(store, window=512)
    with pytest.raises(ContextTooLong, match="leave no room") as caught:
        await engine.answer(replace(ASKED, max_answer_tokens=500))
    assert caught.value.budget == 512
    assert caught.value.needed
    assert caught.value.needed > 512
    assert model.sent == []


async def test_questions_that_are_none(store: EdgeStore) -> None:
    engine, model = rag(store, limits=Limits(question_characters=20))
    for text in ("", " \n\t"):
        with pytest.raises(BadRequest, match="empty"):
            await engine.answer(replace(ASKED, text=text))
    with pytest.raises(QuestionTooLong, match="21 characters; at most 20"):
        await engine.answer(replace(ASKED, text="x" * 21))
    with pytest.raises(QuestionTooLong):
        await engine.search(replace(ASKED, text="x" * 21), 5)
    with pytest.raises(CollectionNotFound, match="no collection 'absent'"):
        await engine.answer(replace(ASKED, text="What?", collection="absent"))
    assert model.sent == []


async def test_search_does_not_ask_the_model(store: EdgeStore) -> None:
    engine, model = rag(store, generator=FakeGenerator(error=ModelUnavailable("down")))
    hits = await engine.search(replace(ASKED, text="battery pack"), 2)
    assert hits[0].passage.text == "Its battery pack lasts 400 days.\n"
    assert len(hits) == 2
    assert model.sent == []


@pytest.mark.parametrize(
    "error", [ModelUnavailable("The model server is down."), ModelRefused("no"), ContextTooLong("x")]
)
async def test_the_models_errors_come_through(store: EdgeStore, error: ModelUnavailable) -> None:
    engine, _ = rag(store, generator=FakeGenerator(error=error))
    with pytest.raises(type(error)) as caught:
        await engine.answer(ASKED)
    assert caught.value is error


async def test_an_empty_collection_is_answered_without_the_model(store: EdgeStore) -> None:
    engine, model = rag(store)
    first, answer = await events(engine, replace(ASKED, collection="empty"))
    assert isinstance(first, Reading)
    assert isinstance(answer, Answer)
    assert (answer.answerable, answer.text, answer.citations) == (False, prompt.NOT_FOUND, ())
    assert answer.reason == "Nothing in collection 'empty' matches the question."
    assert (answer.receipt.hits, answer.receipt.read, answer.receipt.usage) == (0, (), None)
    assert model.sent == []


async def test_a_budget_that_no_passage_fits(store: EdgeStore) -> None:
    engine, model = rag(store)
    answer = await engine.answer(replace(ASKED_LARGE, max_context_tokens=5))
    assert (answer.answerable, answer.reason) == (False, "No passage fits a budget of 5 tokens.")
    assert answer.receipt.hits == sum(len(drop.ordinals) for drop in answer.receipt.dropped) > 0
    assert model.sent == []


@pytest.mark.parametrize("reply", [prompt.NOT_FOUND, "the documents do not say [1]", "", "  \n"])
async def test_the_model_finds_nothing(store: EdgeStore, reply: str) -> None:
    answer = await rag(store, reply)[0].answer(ASKED)
    assert (answer.answerable, answer.reason) == (False, "The model found no answer in what it read.")
    assert (answer.citations, answer.unsupported) == ((), ())
    assert answer.receipt.read


async def test_what_was_searched_in_vain_and_what_came_nearest(store: EdgeStore) -> None:
    answer = await rag(store, prompt.NOT_FOUND, limits=Limits(context_tokens=60))[0].answer(ASKED_LARGE)
    searched = answer.searched
    assert searched
    assert (searched.collections, searched.documents, searched.passages) == (("large",), 6, 120)
    assert (searched.found, searched.tokens_read) == (answer.receipt.hits, answer.receipt.context_tokens)
    assert 0 < searched.tokens_read <= 60
    hits = (await rag(store)[0].search(ASKED_LARGE, 48))[:3]
    for miss, hit in zip(searched.nearest, hits, strict=True):
        assert (miss.document_id, miss.source) == (hit.document.id, hit.document.source)
        assert str(miss.place) == f"line {hit.passage.line}"
        assert miss.quote == hit.passage.text.strip()
        assert miss.score == hit.score
    read = {read.document_id for read in answer.receipt.read}
    assert searched.nearest[0].read
    assert not all(miss.read for miss in searched.nearest)
    assert {miss.document_id for miss in searched.nearest if miss.read} <= read


async def test_an_answer_that_was_found_does_not_tell_what_was_searched(store: EdgeStore) -> None:
    assert (await rag(store)[0].answer(ASKED)).searched is None


async def test_a_budget_that_is_too_small_still_tells_the_nearest(store: EdgeStore) -> None:
    searched = (await rag(store)[0].answer(replace(ASKED_LARGE, max_context_tokens=5))).searched
    assert searched
    assert (searched.tokens_read, [miss.read for miss in searched.nearest]) == (0, [False] * 3)
    assert searched.found > 3


async def test_nothing_to_find_has_no_nearest(store: EdgeStore) -> None:
    searched = (await rag(store)[0].answer(replace(ASKED, collection="empty"))).searched
    assert searched
    assert (searched.documents, searched.passages, searched.found, searched.nearest) == (0, 0, 0, ())


@pytest.mark.parametrize(
    ("among", "documents"),
    [
        (Filter(paths=("nowhere/*",)), 0),
        (Filter(types=("pdf",)), 0),
        (Filter(fields={"author": "Ada"}), 0),
        (Filter(since="2026-01-01"), 0),
        (Filter(headings=("nowhere",)), 2),
    ],
)
async def test_a_filter_that_admits_nothing_is_told(store: EdgeStore, among: Filter, documents: int) -> None:
    engine, model = rag(store)
    answer = await engine.answer(replace(ASKED, among=among))
    assert answer.reason == "Nothing in collection 'small' that the filter admits matches the question."
    assert answer.searched
    assert answer.searched.among == among
    assert (answer.searched.documents, answer.searched.passages) == (documents, 0)
    assert (answer.receipt.documents, answer.receipt.hits, model.sent) == (documents, 0, [])
    assert await engine.search(replace(ASKED, among=among), 5) == []


async def test_a_filter_keeps_the_rest_out_of_a_corpus_that_would_be_read_whole(store: EdgeStore) -> None:
    engine, model = rag(store)
    receipt = (await engine.answer(replace(ASKED, among=Filter(paths=("manual.txt",))))).receipt
    assert [read.source for read in receipt.read] == ["file:///d/manual.txt"]
    assert (receipt.documents, receipt.passages) == (1, 2)
    assert "noon" not in model.sent[0][1].content


@pytest.mark.parametrize("since", ["tomorrow", "20260101"])
async def test_a_day_that_is_none_is_refused_before_anything_is_asked(store: EdgeStore, since: str) -> None:
    engine, model = rag(store)
    asked = replace(ASKED, among=Filter(since=since))
    for work in (engine.answer(asked), engine.read(asked), engine.search(asked, 5)):
        with pytest.raises(BadRequest, match="is not a day"):
            await work
    assert model.sent == []


async def test_several_collections_are_asked_at_once(store: EdgeStore) -> None:
    engine, _ = rag(store)
    answer = await engine.answer(replace(ASKED, collection=("small", "large")))
    assert answer.receipt.collection == "small, large"
    assert (answer.receipt.documents, answer.receipt.passages) == (8, 123)
    assert {"file:///d/manual.txt", "file:///d/1.txt"} <= {read.source for read in answer.receipt.read}
    with pytest.raises(CollectionNotFound, match="no collection 'absent'"):
        await engine.answer(replace(ASKED, collection=("small", "absent")))
    with pytest.raises(BadRequest, match="No collection is named"):
        await engine.answer(replace(ASKED, collection=()))
    nothing = await engine.answer(replace(ASKED, collection=("small", "empty"), among=Filter(types=("pdf",))))
    assert nothing.reason
    assert "'small', 'empty'" in nothing.reason


async def test_what_would_be_read_is_what_is_read(store: EdgeStore) -> None:
    engine, _ = rag(store, limits=Limits(context_tokens=300))
    context = await engine.read(ASKED_LARGE)
    answer = await engine.answer(ASKED_LARGE)
    assert context.tokens == answer.receipt.context_tokens
    assert [block.span for block in context.blocks] == [read.span for read in answer.receipt.read]


@pytest.mark.parametrize("policy", ["passages", "sections", "documents", "auto"])
async def test_each_policy_reads_within_the_budget(store: EdgeStore, policy: Policy) -> None:
    engine, _ = rag(store, limits=Limits(search=3, context_tokens=700))
    receipt = (await engine.answer(replace(ASKED_LARGE, policy=policy))).receipt
    adds_up(receipt)
    lines = [read.place.line_end - read.place.line_start + 1 for read in receipt.read]
    assert (20 in lines) == (policy != "passages"), "there is room to read a document whole"


async def test_what_is_not_supported_is_said(store: EdgeStore) -> None:
    reply = "The battery pack lasts 400 days [1]. Seagulls prefer herring."
    answer = await rag(store, reply)[0].answer(ASKED)
    assert [reply[span.start : span.end] for span in answer.unsupported] == ["Seagulls prefer herring."]


async def test_a_model_that_goes_round_in_circles_is_stopped(store: EdgeStore) -> None:
    generator = Closing("The battery pack lasts 400 days. " * 50)
    engine, _ = rag(store, generator=generator)
    answer = await engine.answer(ASKED)
    assert answer.text == "The battery pack lasts 400 days."
    assert answer.finish_reason == "repetition"
    assert answer.receipt.warnings == ("The model began to repeat itself; the answer was cut there.",)
    assert (generator.pieces, generator.closed) == (18, True)


async def test_an_answer_that_was_cut_short_warns(store: EdgeStore) -> None:
    class Short(FakeGenerator):
        async def stream(
            self,
            messages: Sequence[Message],
            *,
            max_tokens: int,
            sampling: Sampling = GREEDY,
            ids: Sequence[int] = (),
        ) -> AsyncGenerator[Delta, None]:
            yield Delta("The battery", finish_reason="length")

    answer = await rag(store, generator=Short())[0].answer(ASKED)
    assert (answer.finish_reason, answer.receipt.usage) == ("length", None)
    assert any("max_answer_tokens" in warning for warning in answer.receipt.warnings)


async def test_estimated_tokens_are_no_secret(store: EdgeStore) -> None:
    receipt = (await rag(store, tokens=Estimate())[0].answer(ASKED)).receipt
    assert receipt.warnings == ("Token counts are estimates: the model's tokenizer is unknown.",)
    assert (await rag(store)[0].answer(ASKED)).receipt.warnings == ()


class DoubleCounter(FakeCounter):
    name = "fake-double"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [2 * tokens for tokens in super().count(texts)]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [2 * ids for ids in super().encode(texts)]


@pytest.mark.parametrize("question", [ASKED, replace(ASKED_LARGE, max_context_tokens=400)])
async def test_tokens_of_another_tokenizer_are_counted_anew(store: EdgeStore, question: Question) -> None:
    receipt = (await rag(store, tokens=DoubleCounter())[0].answer(question)).receipt
    adds_up(receipt)
    for read in receipt.read:
        text = "".join(p.text for p in store.open(question.collections[0]).read(read.document_id))
        assert read.tokens == DoubleCounter().count([text[read.span.start : read.span.end]])[0]


class Closing(FakeGenerator):
    """Says how much of its reply was taken and whether it was closed."""

    pieces = 0
    closed = False

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        try:
            async with aclosing(super().stream(messages, max_tokens=max_tokens, sampling=sampling)) as deltas:
                async for delta in deltas:
                    self.pieces += 1
                    yield delta
        finally:
            self.closed = True


async def test_closing_the_stream_early_ends_the_generation(store: EdgeStore) -> None:
    generator = Closing("word " * 1000)
    stream = rag(store, generator=generator)[0].stream(ASKED)
    assert isinstance(stream, AsyncGenerator)
    async with aclosing(stream):
        async for event in stream:
            if isinstance(event, Piece):
                break
    assert (generator.pieces, generator.closed) == (1, True)


async def test_cancelling_the_question_ends_the_generation(store: EdgeStore) -> None:
    class Stalled(Closing):
        async def stream(
            self,
            messages: Sequence[Message],
            *,
            max_tokens: int,
            sampling: Sampling = GREEDY,
            ids: Sequence[int] = (),
        ) -> AsyncGenerator[Delta, None]:
            try:
                yield Delta("It ")
                started.set()
                await asyncio.sleep(60)
            finally:
                self.closed = True

    started = asyncio.Event()
    generator = Stalled()
    task = asyncio.create_task(rag(store, generator=generator)[0].answer(ASKED))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert generator.closed


async def test_questions_at_the_same_time_do_not_mix(store: EdgeStore) -> None:
    engine, _ = rag(store)
    answers = await asyncio.gather(*(engine.answer(replace(ASKED, text=f"Battery {n}?")) for n in range(8)))
    assert [answer.question for answer in answers] == [f"Battery {n}?" for n in range(8)]
    assert {answer.text for answer in answers} == {"The battery pack lasts 400 days [1]."}


class Slow(FakeGenerator):
    """Reads a prompt until ``read`` is set, then says a word, and the rest when ``said`` is."""

    def __init__(self) -> None:
        super().__init__("The battery pack lasts 400 days [1].")
        self.asked, self.read, self.said = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        self.asked.set()
        await self.read.wait()
        async for delta in super().stream(messages, max_tokens=max_tokens, sampling=sampling):
            yield delta
            await self.said.wait()


async def test_a_question_waits_while_another_is_read_and_no_longer(store: EdgeStore) -> None:
    generator = Slow()
    engine, _ = rag(store, generator=generator)
    first = asyncio.create_task(engine.answer(ASKED))
    await generator.asked.wait()
    async with aclosing(engine.stream(ASKED)) as second:
        assert isinstance(await anext(second), Reading)
        waiting = await anext(second)
        assert isinstance(waiting, Waiting)
        assert (waiting.position, waiting.start_s >= 0) == (1, True)
        generator.read.set()  # the first answer has begun, and has not ended
        while isinstance(event := await anext(second), Waiting):
            pass
        assert isinstance(event, Piece)
        assert not first.done()
        generator.said.set()
        answers = [await first, [event async for event in second][-1]]
    assert all(isinstance(answer, Answer) and answer.answerable for answer in answers)
    waits = ["wait" in answer.receipt.seconds for answer in answers if isinstance(answer, Answer)]
    assert waits == [False, True]
    assert engine.serving.gate.requests == 0


async def test_a_question_too_many_is_refused_before_anything_is_searched(store: EdgeStore) -> None:
    generator = Slow()
    engine, _ = rag(store, generator=generator, gate=Gate(Rules(queue_limit=1)))
    first = asyncio.create_task(engine.answer(ASKED))
    await generator.asked.wait()
    second = asyncio.create_task(engine.answer(ASKED))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await anext(engine.stream(replace(ASKED, collection="absent")))
    second.cancel()
    await asyncio.wait([second])
    assert engine.serving.gate.requests == 1
    generator.read.set()
    generator.said.set()
    await first
    assert (await engine.answer(ASKED)).answerable


async def test_a_question_that_would_wait_too_long_is_refused_before_its_first_event(
    store: EdgeStore,
) -> None:
    generator = Slow()
    engine, _ = rag(store, generator=generator, gate=Gate(Rules(max_wait_s=10)), costs=Costly(60.0))
    first = asyncio.create_task(engine.answer(ASKED))
    await generator.asked.wait()
    with pytest.raises(Overloaded, match="longer than 10"):
        await anext(engine.stream(ASKED))
    first.cancel()
    await asyncio.wait([first])
    assert engine.serving.gate.requests == 0


class Changing:
    """A store, and its one index: between the search and the reading one document is replaced, another removed."""

    def __init__(self, store: EdgeStore) -> None:
        self._store, self._index = store, store.open("default")

    def open(self, collection: str, create: bool = False) -> Index:
        return self  # type: ignore[return-value]

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)

    def candidates(self, *asked: Any) -> list[Candidate]:
        found = self._index.candidates(*asked)
        doc, tiles = counted("file:///a.txt", "The battery pack is new.\n")
        put(self._index, replace(doc, revision="r2"), [replace(tile, revision="r2") for tile in tiles])
        self._index.remove([document("file:///b.txt").id])
        return found


@pytest.mark.parametrize("budget", [80, 4000])
async def test_what_changes_between_the_search_and_the_reading_is_not_read_half(
    tmp_path: Path, budget: int
) -> None:
    made = EdgeStore(tmp_path / "collections", embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    index = made.open("default", create=True)
    for name in "abc":
        texts = [f"The battery pack number {at} of {name} lasts long.\n" for at in range(20)]
        put(index, *counted(f"file:///{name}.txt", *texts))
    engine, _ = rag(made, limits=Limits(context_tokens=budget))
    engine.store = Changing(made)  # type: ignore[assignment]
    receipt = (await engine.answer(replace(ASKED, collection="default"))).receipt
    adds_up(receipt)
    assert receipt.read
    visible = {doc.id: doc.characters for doc in index.documents()}
    assert all(read.span.end <= visible[read.document_id] for read in receipt.read)
    assert {drop.document_id for drop in receipt.dropped} <= set(visible)
    made.close()


async def test_what_a_heading_filter_keeps_out_is_not_read_beside_a_hit(tmp_path: Path) -> None:
    made = EdgeStore(tmp_path / "collections", embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    doc, tiles = counted("file:///a.txt", *[f"The battery number {at} lasts long.\n" for at in range(6)])
    headed = [replace(tile, section=("Costs",) if tile.ordinal == 2 else ("Other",)) for tile in tiles]
    put(made.open("default", create=True), doc, headed)
    engine, _ = rag(made)
    question = replace(ASKED, collection="default", among=Filter(headings=("costs",)))
    (block,) = (await engine.read(question)).blocks
    assert [passage.ordinal for passage in block.passages] == [2]
    made.close()
