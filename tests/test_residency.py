"""The flow of answers against a server with a prefix cache: what is predicted of it, and what it finds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from fakes import CachingGenerator, Costly, FakeCounter, FakeEmbedder, document, passages, rag_of
from rag.answer import Limits, Rag
from rag.order import Tree
from rag.ports import ModelInfo
from rag.question import Question
from rag.remembered import Remembered
from rag.residency import Prompt, Residency, Sent
from rag.store.edge import EdgeStore
from rag.types import Answer

EMBEDDER = FakeEmbedder()
TOPICS = ["tide gauge", "battery pack", "radio mast", "spare seal", "harbour boat", "rain sensor"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    """``default``: of each topic a document of twenty passages."""
    made = EdgeStore(tmp_path_factory.mktemp("c"), embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    index = made.open("default", create=True)
    for topic in TOPICS:
        tiles = passages(
            document(f"file:///d/{topic}.txt"),
            *(
                f"Section {at} of the {topic} says that part {at} of it lasts {at} days.\n"
                for at in range(20)
            ),
        )
        doc = document(
            f"file:///d/{topic}.txt",
            tokens=sum(tile.tokens for tile in tiles),
            passages=len(tiles),
            tokenizer=FakeCounter.name,
        )
        index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))
    yield made
    made.close()


def rag(store: EdgeStore, server: CachingGenerator, costs: Costly | None = None) -> Rag:
    limits = Limits(search=20, context_tokens=300, answer_tokens=20)
    return rag_of(store, EMBEDDER, FakeCounter(), server, limits, costs=costs)


def questions() -> list[Question]:
    return [
        Question(f"How long does part {(at * 7) % 20} of the {TOPICS[(at * 5) % 6]} last?")
        for at in range(24)
    ]


@pytest.mark.parametrize("blocks", [4096, 150])  # with few, what was sent is evicted again and again
async def test_what_is_cached_is_foretold(store: EdgeStore, blocks: int) -> None:
    server = CachingGenerator("It lasts 3 days [1].", blocks=blocks)
    engine = rag(store, server)
    found = [await engine.answer(question) for question in questions()]
    counts = [(a.receipt.predicted_cached, a.receipt.usage and a.receipt.usage.cached) for a in found]
    assert all(predicted == cached for predicted, cached in counts)
    assert sum(predicted or 0 for predicted, _ in counts) > 0
    for ids in server.ids:
        assert ids[0] == 1, "the template's beginning"


async def test_a_question_that_is_asked_again_is_cached_but_for_its_last_block(store: EdgeStore) -> None:
    engine = rag(store, CachingGenerator("It lasts 3 days [1]."))
    for question in [*questions()[:9], questions()[0]]:
        answer = await engine.answer(question)
    usage = answer.receipt.usage
    assert usage
    assert usage.cached is not None
    assert usage.prompt - usage.cached <= 4


async def test_a_follow_up_is_cached_but_for_what_is_new(store: EdgeStore) -> None:
    server = CachingGenerator("It lasts 3 days [1].")
    engine = rag(store, server)
    id_ = engine.conversations.create().id
    first = await engine.answer(Question("How long does part 3 of the tide gauge last?", conversation=id_))
    second = await engine.answer(Question("And part 4 of the tide gauge?", conversation=id_))
    assert first.receipt.usage
    assert second.receipt.usage
    assert second.receipt.usage.cached is not None
    assert second.receipt.predicted_cached == second.receipt.usage.cached
    assert second.receipt.usage.cached > first.receipt.usage.prompt


async def test_questions_about_one_thing_share_more_than_in_their_own_order(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.residency.Tree", lambda: Tree(kept=0))  # as in a long context

    async def cached() -> int:
        engine = rag(store, CachingGenerator("It lasts 3 days [1]."))
        found = [await engine.answer(question) for question in questions()]
        return sum(answer.receipt.usage.cached or 0 for answer in found if answer.receipt.usage)

    led = await cached()
    monkeypatch.setattr(Residency, "lead", lambda *_, **__: ())
    assert led > 1.25 * await cached()


async def test_a_server_that_has_lost_its_cache_is_noticed(store: EdgeStore) -> None:
    server = CachingGenerator("It lasts 3 days [1].")
    engine = rag(store, server)
    question = questions()[0]
    await engine.answer(question)
    server.cache = CachingGenerator("").cache  # it was restarted
    after = [await engine.answer(question) for _ in range(2)]
    wrong, right = [(a.receipt.predicted_cached, a.receipt.usage and a.receipt.usage.cached) for a in after]
    assert wrong[1] == 0
    assert wrong[0] != 0
    assert right[0] == right[1] != 0


async def test_without_the_shape_of_the_cache_nothing_is_foretold(store: EdgeStore) -> None:
    server = CachingGenerator("It lasts 3 days [1].")
    server.info = ModelInfo("fake-model", 4096, server.info.template)
    answer = await rag(store, server).answer(questions()[0])
    assert answer.receipt.predicted_cached is None
    assert answer.answerable


async def test_a_long_prefill_goes_in_slices_and_counts_as_one(store: EdgeStore) -> None:
    server, costs = CachingGenerator("It lasts 3 days [1]."), Costly(0.0, per_token=0.01)
    engine = rag(store, server, costs)
    question = Question(questions()[0].text, max_context_tokens=300)
    answer = await engine.answer(question)
    *slices, whole = server.ids
    assert len(slices) > 2
    for one, longer in zip(slices, [*slices[1:], whole], strict=True):
        assert list(longer[: len(one)]) == list(one)
        assert len(one) % 4 == 0
    usage = answer.receipt.usage
    assert usage
    assert (usage.prompt, usage.cached) == (len(whole), 0), "what it has read itself was not there before"
    assert answer.receipt.predicted_cached == 0
    observed = [(new, cached) for new, cached, _ in costs.observed]
    assert [cached for _, cached in observed] == [0, *(len(ids) for ids in slices)]
    assert sum(new for new, _ in observed) == len(whole)


async def test_a_short_question_passes_between_the_slices_of_a_long_one(store: EdgeStore) -> None:
    class Slow(CachingGenerator):
        asked = asyncio.Event()

        async def stream(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            self.asked.set()
            await asyncio.sleep(0.01)
            async for delta in super().stream(*arguments, **options):  # type: ignore[arg-type]
                yield delta

    server = Slow("It lasts 3 days [1].")
    engine = rag(store, server, Costly(0.0, per_token=0.01))
    long = asyncio.create_task(engine.answer(questions()[0]))
    await server.asked.wait()
    short = await engine.answer(Question(questions()[1].text, max_context_tokens=60))
    assert not long.done()
    assert short.answerable
    assert isinstance(await long, Answer)
    assert engine.serving.gate.requests == 0


async def test_a_question_that_is_left_while_its_prompt_is_counted_takes_no_room(store: EdgeStore) -> None:
    server = CachingGenerator("It lasts 3 days [1].", blocks=150)
    engine = rag(store, server)
    residency, counting, go_on = engine.serving.residency, Event(), Event()
    opened: list[Sent] = []
    loop = asyncio.get_running_loop()
    left = asyncio.Event()

    def slowly(model: ModelInfo, prompt: Prompt) -> Sent | None:
        counting.set()
        assert go_on.wait(10)
        sent = Residency.sent(residency, model, prompt)
        assert sent
        opened.append(sent)
        loop.call_soon_threadsafe(left.set)
        return sent

    residency.sent = slowly  # type: ignore[method-assign]
    asked = asyncio.create_task(engine.answer(questions()[0]))
    assert await asyncio.to_thread(counting.wait, 10)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    go_on.set()
    async with asyncio.timeout(10):
        await left.wait()
    await asyncio.sleep(0.05)
    opened[0].held.cache.begin(range(4 * 140)).end()  # raises NoRoom where the prompt still has its blocks
    assert server.ids == []


def test_the_tree_outlives_no_other_model(tmp_path: Path) -> None:
    residency = Residency(Remembered(FakeCounter()))
    one, other = CachingGenerator("").info, CachingGenerator("", block_size=8).info
    prompt = residency.prompt(one, (), ())
    assert prompt.encoded is not None
    assert residency.sent(one, prompt) is not None
    assert residency.prompt(other, (), ()).cached == 0
