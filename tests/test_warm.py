"""Pinned documents, and what is prefilled before anybody asks: with a server of fakes that counts as vLLM does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import CachingGenerator, FakeCounter, FakeEmbedder, change, document, passages, rag_of
from rag import order
from rag.answer import Limits, Rag
from rag.collection_settings import CollectionSettings
from rag.errors import CollectionNotFound, ModelRefused
from rag.order import Name
from rag.ports import Delta, Message, ModelInfo
from rag.question import GREEDY, Filter, Question, Sampling
from rag.store.edge import EdgeStore
from rag.types import Answer, Block, Document
from rag.usual import LATEST, Beginning, Usual, often
from rag.warm import Warmed, WarmUp

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

EMBEDDER, COUNTER = FakeEmbedder(), FakeCounter()
BLOCK = 4  # tokens of a block of the cache
TOPICS = ["tide gauge", "battery pack", "radio mast", "spare seal"]
ASKED = Question("How long does the radio mast of section 7 last?")
OTHER = Question("Does the tide gauge of section 2 outlast the spare seal of section 11?")


def write(store: EdgeStore, source: str, *texts: str, revision: str = "r1") -> Document:
    tiles = passages(document(source, revision), *texts)
    fields = {"tokens": sum(tile.tokens for tile in tiles), "passages": len(tiles)}
    doc = document(source, revision, tokenizer=FakeCounter.name, **fields)
    index = store.open("default", create=True)
    index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))
    return doc


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    """A corpus that is too large to be read whole, and two documents to be pinned."""
    made = EdgeStore(tmp_path / "collections", embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    for number, topic in enumerate(TOPICS):
        texts = [
            f"Section {at} of the {topic} says that it lasts {100 * number + at} days.\n" for at in range(12)
        ]
        write(made, f"file:///d/{topic.replace(' ', '-')}.txt", *texts)
    write(made, "file:///d/style.txt", "Say metres, not feet.\n", "Name the instrument first.\n")
    write(made, "file:///d/glossary.txt", "A mast is a pole.\n")
    yield made
    made.close()


@pytest.fixture
def model() -> CachingGenerator:
    return CachingGenerator("It lasts 207 days [1].")


def engine(store: EdgeStore, model: CachingGenerator, *pinned: str, **more: Any) -> Rag:
    rag = rag_of(store, EMBEDDER, COUNTER, model, Limits(search=12, context_tokens=150), **more)
    pin(rag, *pinned)
    return rag


def pin(rag: Rag, *names: str) -> None:
    found = [d for d in rag.store.open("default").documents() if d.name.removeprefix("d/") in names]
    assert len(found) == len(names)
    rag.pins.add("default", found)


def read(answer: Answer) -> list[str]:
    return [block.source.removeprefix("file:///d/") for block in answer.receipt.read]


async def warm(rag: Rag, *questions: Question) -> list[Warmed]:
    return [step async for step in WarmUp(rag).run((), questions)]


# --- pinned documents -----------------------------------------------------------------------------------------


async def test_pinned_documents_are_read_first_and_whole_by_source(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "style.txt", "glossary.txt")
    answers = [await rag.answer(question) for question in (ASKED, OTHER)]
    for answer in answers:
        assert read(answer)[:2] == ["glossary.txt", "style.txt"]
        assert "style.txt" not in read(answer)[2:]
        assert len(answer.receipt.read) > 2
        assert answer.receipt.context_tokens <= answer.receipt.budget_tokens
        assert answer.receipt.warnings == ()
    users = [messages[1].content for messages in model.sent]
    beginning = users[0][: users[0].index("<document [3]")]
    assert "Say metres, not feet.\nName the instrument first." in beginning
    assert users[1].startswith(beginning)
    assert [block.document.name for block in (await rag.read(ASKED)).blocks][:2] == [
        "d/glossary.txt",
        "d/style.txt",
    ]


async def test_a_small_corpus_begins_with_what_is_pinned(store: EdgeStore, model: CachingGenerator) -> None:
    rag = engine(store, model, "style.txt")
    answer = await rag.answer(replace(ASKED, max_context_tokens=3000))
    assert read(answer) == ["style.txt", "battery-pack.txt", "glossary.txt", "radio-mast.txt", "spare-seal.txt",
                            "tide-gauge.txt"]  # fmt: skip


async def test_what_a_filter_does_not_admit_is_not_read_though_pinned(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "style.txt", "glossary.txt")
    among = Filter(paths=("radio-mast.txt", "glossary.txt"))
    answer = await rag.answer(replace(ASKED, among=among))
    assert read(answer)[0] == "glossary.txt"
    assert set(read(answer)) == {"glossary.txt", "radio-mast.txt"}
    assert answer.receipt.warnings == ()


async def test_what_would_take_more_than_half_of_the_budget_is_declared(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "tide-gauge.txt", "glossary.txt")
    answer = await rag.answer(ASKED)
    assert read(answer)[0] == "glossary.txt"
    (note,) = answer.receipt.warnings
    assert note.startswith("Pinned, but not read whole: d/tide-gauge.txt, ")
    assert note.endswith("what is pinned may take half of the budget, 75 tokens.")


async def test_a_conversation_reads_what_is_pinned_once(store: EdgeStore, model: CachingGenerator) -> None:
    rag = engine(store, model, "style.txt")
    id_ = rag.conversations.create().id
    first = await rag.answer(replace(ASKED, conversation=id_))
    pin(rag, "glossary.txt")
    second = await rag.answer(replace(OTHER, conversation=id_))
    third = await rag.answer(replace(ASKED, conversation=id_))
    assert read(first)[0] == "style.txt"
    assert second.receipt.read[: len(first.receipt.read)] == first.receipt.read
    assert read(second)[len(first.receipt.read)] == "glossary.txt"
    for answer in (second, third):
        assert (read(answer).count("style.txt"), read(answer).count("glossary.txt")) == (1, 1)


async def test_a_new_revision_of_a_pinned_document_is_read_instead(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "style.txt")
    await warm(rag)
    write(store, "file:///d/style.txt", "Say feet after all.\n", revision="r2")
    await rag.answer(ASKED)
    assert "Say feet after all." in model.sent[-1][1].content
    assert "Say metres" not in model.sent[-1][1].content
    steps = await warm(rag)
    assert [step.what for step in steps if step.new] == []  # the question has warmed it
    store.open("default").remove([rag.pins.of(["default"])[0].id])
    assert "style.txt" not in read(await rag.answer(ASKED))


async def test_blocks_that_lead_are_looked_for_behind_what_is_pinned(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "style.txt")
    answers = [await rag.answer(question) for question in (ASKED, OTHER, ASKED)]
    assert read(answers[2]) == read(answers[0])
    usage = answers[2].receipt.usage
    assert usage
    assert usage.cached is not None
    assert usage.cached >= usage.prompt - 2 * BLOCK
    assert answers[2].receipt.predicted_cached == usage.cached


def test_pins_last_and_can_be_taken_back(store: EdgeStore, model: CachingGenerator, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    rag = engine(store, model, "style.txt", "glossary.txt", collection_settings=CollectionSettings(path))
    again = engine(store, model, collection_settings=CollectionSettings(path))
    glossary, style = again.pins.of(["default", "elsewhere"])
    assert (glossary.name, style.name) == ("d/glossary.txt", "d/style.txt")
    assert again.pins.of(["default"]) == rag.pins.of(["default"])
    again.pins.remove("default", {glossary.id})
    assert again.pins.of(["default"]) == [style]


# --- warm-up --------------------------------------------------------------------------------------------------


async def test_what_is_warmed_is_exactly_what_the_next_question_begins_with(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "style.txt", "glossary.txt")
    steps = await warm(rag)
    assert [step.what for step in steps] == ["the instructions", "every question of default"]
    _, warmed = model.ids
    assert steps[1].tokens == len(warmed)
    answer = await rag.answer(ASKED)
    assert model.ids[-1][: len(warmed)] == warmed
    after = model.sent[-1][1].content
    shared = after[: after.index("<document [3]")]
    assert list(warmed)[-COUNTER.count([shared])[0] :] == COUNTER.encode([shared])[0]
    covered = len(warmed) // BLOCK * BLOCK
    assert answer.receipt.usage
    assert answer.receipt.usage.cached == answer.receipt.predicted_cached == covered
    assert [step.new for step in await warm(rag)] == [0, 0]


async def test_all_of_a_small_corpus_is_warmed(store: EdgeStore, model: CachingGenerator) -> None:
    rag = engine(store, model)
    change(rag, limits=Limits(context_tokens=3000))
    await warm(rag)
    answer = await rag.answer(ASKED)
    assert answer.receipt.usage
    assert answer.receipt.usage.cached is not None
    assert answer.receipt.usage.cached > 0.9 * answer.receipt.usage.prompt


async def test_what_many_questions_read_is_warm_after_a_restart(
    store: EdgeStore, model: CachingGenerator, tmp_path: Path
) -> None:
    rag = engine(store, model, "style.txt", usual=Usual(tmp_path / "usual.jsonl"))
    for _ in range(2):
        asked = await rag.answer(ASKED)
    fresh = CachingGenerator(model.reply)
    again = engine(store, fresh, "style.txt", usual=Usual(tmp_path / "usual.jsonl"))
    steps = await warm(again)
    assert steps[-1].what == "many questions of default"
    answer = await again.answer(ASKED)
    assert read(answer) == read(asked)
    warmed = fresh.ids[2]
    assert answer.receipt.usage
    assert answer.receipt.usage.cached == answer.receipt.predicted_cached
    assert answer.receipt.usage.cached == len(warmed) // BLOCK * BLOCK
    assert fresh.ids[-1][: len(warmed)] == warmed


async def test_what_many_questions_read_is_warmed_up_to_what_has_changed(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model)
    for _ in range(2):
        answer = await rag.answer(ASKED)
    name = read(answer)[-1]
    write(store, f"file:///d/{name}", "It is all new.\n", revision="r2")
    assert (await warm(rag))[-1].tokens < len(model.ids[0]) - 20
    write(store, f"file:///d/{read(answer)[0]}", "It is all new.\n", revision="r2")
    steps = await warm(rag)
    assert steps[-1].tokens == steps[0].tokens  # the instructions alone


async def test_what_a_given_question_reads_is_warmed_up_to_the_question(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model, "style.txt")
    steps = await warm(rag, ASKED)
    assert steps[-1].what == f"the question {ASKED.text!r}"
    answer = await rag.answer(ASKED)
    assert model.ids[-1][: steps[-1].tokens] == model.ids[-2]
    assert answer.receipt.usage
    assert answer.receipt.usage.cached == steps[-1].tokens // BLOCK * BLOCK
    with pytest.raises(CollectionNotFound):
        await warm(rag, replace(ASKED, collection="nowhere"))


async def test_no_more_is_warmed_than_a_share_of_the_cache(store: EdgeStore) -> None:
    model = CachingGenerator("Yes.", blocks=200)
    rag = engine(store, model)
    change(rag, limits=Limits(context_tokens=3000))
    instructions, corpus = await warm(rag)
    assert instructions.new > 0
    assert corpus.left_out
    assert len(model.ids) == 1
    assert WarmUp(rag).resident == 0


async def test_of_two_warm_ups_at_once_the_second_finds_what_the_first_has_read(
    store: EdgeStore, model: CachingGenerator
) -> None:
    warm_up = WarmUp(engine(store, model, "style.txt"))

    async def run() -> list[int]:
        return [step.new async for step in warm_up.run(["default"])]

    first, second = await asyncio.gather(run(), run())
    assert min(first) > 0
    assert second == [0, 0]
    assert len(model.ids) == 2


async def test_a_server_that_tells_no_cache_is_not_warmed(store: EdgeStore) -> None:
    class Silent(CachingGenerator):
        async def model(self) -> ModelInfo:
            return replace(await super().model(), cache=None)

    rag = engine(store, Silent(""))
    assert not await WarmUp(rag).possible()
    with pytest.raises(ModelRefused, match="does not tell"):
        await warm(rag)
    assert WarmUp(rag).resident is None


class Held(CachingGenerator):
    """The first request does not end before ``go``."""

    def __init__(self, window: int) -> None:
        super().__init__("It lasts 207 days [1].", window, blocks=16000)
        self.go, self.begun = asyncio.Event(), asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        self.begun.set()
        await self.go.wait()
        async for delta in super().stream(messages, max_tokens=max_tokens, sampling=sampling, ids=ids):
            yield delta


async def test_a_question_goes_between_two_slices_of_a_warm_up(store: EdgeStore) -> None:
    write(store, "file:///d/long.txt", *(f"Rule {at} is as long as it is dull.\n" for at in range(400)))
    model = Held(window=16384)
    rag = engine(store, model, "long.txt")
    change(rag, limits=Limits(search=4, context_tokens=9000))
    index = store.open("default")
    index.remove([d.id for d in index.documents() if "long" not in d.source and "mast" not in d.source])
    warming = asyncio.create_task(warm(rag))
    await model.begun.wait()
    asking = asyncio.create_task(rag.answer(replace(ASKED, max_context_tokens=60)))
    await asyncio.sleep(0.5)  # until it waits for its turn
    assert rag.serving.gate.questions == 1
    assert not model.ids
    model.go.set()
    steps, answer = await asyncio.gather(warming, asking)
    lengths = [len(prompt) for prompt in model.ids]
    asked = next(at for at, messages in enumerate(model.sent) if messages)
    assert asked == 1  # right behind the slice that was being read
    assert len(lengths) > 5
    assert lengths[-1] == steps[-1].tokens
    assert answer.text == model.reply
    assert all(length % BLOCK == 0 for length in lengths[2:-1])


# --- what questions began with ----------------------------------------------------------------------------------


def path(names: str, *collections: str) -> Beginning:
    return Beginning(collections or ("c",), tuple(Name(name, "r", 0, 3) for name in names))


def test_beginnings_are_those_that_several_had_as_far_as_they_go_together() -> None:
    asked = [path("abc"), path("abd"), path("ab"), path("ax"), path("y"), path("abd", "other"), path("")]
    assert often(asked) == [path("a"), path("ab")]
    assert often([path("abc"), path("abc"), path("zz"), path("zz"), path("zz")]) == [path("zz"), path("abc")]
    assert often([]) == []


def test_the_latest_questions_are_kept(tmp_path: Path) -> None:
    doc = document("file:///a.txt")
    tiles = passages(doc, "One.", "Two.")
    block = Block(1, doc, tuple(tiles))
    file = tmp_path / "data" / "usual.jsonl"
    usual = Usual(file)
    for _ in range(2 * LATEST + 5):
        usual.note(["c"], [block])
    assert len(file.read_text().split("\n")) < LATEST + 10
    with file.open("a") as torn:
        torn.write('\n{"collections": ["c"], "blo')
    again = Usual(file)
    again.note(["c"], [block])
    assert again.beginnings() == [Beginning(("c",), (order.name_of(block),))]


async def test_tenants_find_nothing_of_each_other_in_the_cache_and_all_that_is_their_own(
    store: EdgeStore, model: CachingGenerator
) -> None:
    rag = engine(store, model)
    tenants = {name: rag.seen_by(name, store) for name in ("a", "b")}
    cached = []
    for name in ("a", "b", "a", "b"):
        receipt = (await tenants[name].answer(ASKED)).receipt
        assert receipt.usage
        assert receipt.usage.cached == receipt.predicted_cached
        cached.append(receipt.usage.cached or 0)
    assert cached[:2] == [0, 0]
    assert min(cached[2:]) > 0
    owners = (await rag.answer(ASKED)).receipt
    assert owners.predicted_cached == 0
    assert len(rag.usual.beginnings()) == 0  # of one question, and none of the tenants'
