"""What a target for the first token lets be read: over an index, with a server whose speed and cache are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from fakes import Costly, FakeCounter, FakeEmbedder, FakeGenerator, document, passages, rag_of
from rag.answer import Limits, Rag
from rag.choice import OVER_BUDGET
from rag.collection_settings import TARGET_TTFT_MS, CollectionSettings
from rag.plan import LEAST_TOKENS
from rag.ports import CacheShape, ModelInfo
from rag.question import Question
from rag.store.edge import EdgeStore
from rag.template import Template
from rag.types import Receipt

EMBEDDER = FakeEmbedder()
TOPICS = ["tide gauge", "battery pack", "radio mast", "spare seal", "harbour boat", "rain sensor"]
ASKED = Question("How long does the battery pack last?", "large")
FIXED, PER_TOKEN = 0.1, 0.001  # seconds
TARGETS = range(200, 1500, 80)  # milliseconds: from what affords next to nothing to what affords all


class Server(FakeGenerator):
    """Its prompts are sent as ids, and it tells the shape of its cache."""

    async def model(self) -> ModelInfo:
        return ModelInfo(
            "fake-model", self.window, Template((1,), (2,), (3,), (4,), (5,)), CacheShape(4, 4096), "vLLM 1"
        )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    made = EdgeStore(
        tmp_path_factory.mktemp("collections"), embedder=EMBEDDER.name, dimension=EMBEDDER.dimension
    )
    for name, topics in (("large", TOPICS), ("other", TOPICS[:1])):
        index = made.open(name, create=True)
        for number, topic in enumerate(topics):
            texts = [f"Section {at} of the {topic} lasts {100 * number + at} days.\n" for at in range(30)]
            doc = document(f"file:///{name}/{number}.txt", collection=name, tokenizer=FakeCounter.name)
            tiles = passages(doc, *texts)
            index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))
    yield made
    made.close()


def engine(store: EdgeStore, costs: Costly | None = None, **more: Any) -> Rag:
    limits = more.pop("limits", Limits(search=90, context_tokens=1000))
    server = Server("It lasts 105 days [1].", window=8192)
    known = costs or Costly(FIXED, PER_TOKEN)
    return rag_of(store, EMBEDDER, FakeCounter(), server, limits, costs=known, **more)


async def receipt(rag: Rag, ms: int | None, question: Question = ASKED) -> Receipt:
    return (await rag.answer(replace(question, target_ttft_ms=ms))).receipt


def told(found: Receipt) -> list[str]:
    return [warning for warning in found.warnings if "first token" in warning]


def out_of_time(found: Receipt) -> list[str]:
    return [drop.reason for drop in found.dropped if "affordable" in drop.reason]


async def test_a_target_is_met_by_prediction_wherever_it_can_be(store: EdgeStore) -> None:
    least = await receipt(engine(store), 1)
    assert least.predicted_s
    for ms in TARGETS:
        found = await receipt(engine(store), ms)
        assert found.target_s == ms / 1000
        assert found.predicted_s
        met = found.predicted_s <= ms / 1000
        assert met == (ms / 1000 >= least.predicted_s)
        assert bool(told(found)) != met


async def test_a_smaller_target_never_reads_more(store: EdgeStore) -> None:
    read = [(await receipt(engine(store), ms)).context_tokens for ms in TARGETS]
    assert read == sorted(read)
    assert read[0] <= LEAST_TOKENS < read[-1]
    assert len(set(read)) > 8


async def test_a_target_that_affords_everything_changes_nothing(store: EdgeStore) -> None:
    free, found = await receipt(engine(store), None), await receipt(engine(store), 60_000)
    assert (free.read, free.dropped, free.target_s) == (found.read, found.dropped, None)
    assert found.budget_tokens == free.budget_tokens == 1000
    assert {drop.reason for drop in found.dropped} == {OVER_BUDGET}


async def test_what_it_left_out_is_told_with_the_reason(store: EdgeStore) -> None:
    free, found = await receipt(engine(store), None), await receipt(engine(store), 600)
    assert set(out_of_time(found)) == {"not affordable within 600 ms to the first token"}
    assert not out_of_time(free)
    left_out = {(drop.document_id, at) for drop in found.dropped for at in drop.ordinals}
    assert {(drop.document_id, at) for drop in free.dropped for at in drop.ordinals} < left_out


async def test_a_target_that_affords_nothing_reads_the_least_and_says_so(store: EdgeStore) -> None:
    found = await receipt(engine(store), 50)
    assert 0 < found.context_tokens <= LEAST_TOKENS
    assert found.predicted_s
    (note,) = told(found)
    assert (
        note == f"The first token is predicted after {1000 * found.predicted_s:.0f} ms; the target was 50 ms."
    )


async def test_what_is_cached_is_not_charged(store: EdgeStore) -> None:
    rag = engine(store)
    cold = await receipt(rag, 600)
    warm = await receipt(rag, 600)
    assert cold.context_tokens < 600
    assert warm.context_tokens > cold.context_tokens
    assert warm.predicted_cached
    assert warm.predicted_s
    assert warm.predicted_s <= 0.6
    seen = [cold.context_tokens, warm.context_tokens]
    seen += [(await receipt(rag, 600)).context_tokens for _ in range(3)]
    assert seen == sorted(seen)


async def test_speed_that_is_not_known_is_told(store: EdgeStore) -> None:
    free = await receipt(engine(store), None)
    rag = engine(store)
    rag.serving.costs = None
    found = await receipt(rag, 300)
    assert (found.predicted_s, found.context_tokens) == (None, free.context_tokens)
    assert told(found) == [
        "The target for the first token has no effect: the model server's speed is not known yet."
    ]
    assert not told(free)


async def test_turns_of_a_conversation_keep_to_it(store: EdgeStore) -> None:
    rag = engine(store)
    talk = replace(ASKED, conversation=rag.conversations.create().id)
    for topic in ("battery pack", "radio mast", "rain sensor"):
        found = await receipt(rag, 600, replace(talk, text=f"How long does the {topic} last?"))
        assert found.predicted_s
        assert found.predicted_s <= 0.6
        assert found.read


async def test_a_question_goes_before_its_collections_and_these_before_the_server(store: EdgeStore) -> None:
    settings = CollectionSettings()
    rag = engine(store, limits=Limits(context_tokens=1000, target_ttft_ms=900), collection_settings=settings)
    both = replace(ASKED, collection=("large", "other"))
    assert (await receipt(rag, None)).target_s == 0.9
    settings.set("large", TARGET_TTFT_MS, 1200)
    assert (await receipt(rag, None)).target_s == 1.2
    assert (await receipt(rag, None, both)).target_s == 1.2
    settings.set("other", TARGET_TTFT_MS, 700)
    assert (await receipt(rag, None)).target_s == 1.2
    assert (await receipt(rag, None, both)).target_s == 0.7
    assert (await receipt(rag, 800, both)).target_s == 0.8
    settings.forget("large")
    assert (await receipt(rag, None)).target_s == 0.9
