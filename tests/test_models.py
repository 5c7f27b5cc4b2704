"""Several models: which one answers, what happens when it is down, and what the receipt says of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from api import model_states
from fake_engine import engine_over, fake_store, ingested
from fakes import CachingGenerator, Costly, FakeGenerator, FakeRelay, change, served
from rag import served as models
from rag.admission import Ticket
from rag.answer import Event, Piece, Rag, Reading
from rag.compose import Engine
from rag.conversation import Turn
from rag.errors import ConversationBusy, ModelNotFound, ModelRefused, ModelUnavailable
from rag.gather import Limits
from rag.ports import ModelInfo
from rag.question import Question
from rag.served import Models
from rag.types import Answer, PassedOver
from service_in_process import serving

ASKED = Question("How long does the battery last?")
DOWN = ModelUnavailable("It is off.", "Start it.")


class Named(FakeGenerator):
    """One whose server calls its model so, and says so in its answers."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} says 400 days [1].")
        self.name = name

    async def model(self) -> ModelInfo:
        return replace(await super().model(), name=self.name)


@pytest.fixture
def generators() -> dict[str, Named]:
    return {name: Named(f"org/{name}") for name in ("answer", "fast", "deep")}


@pytest.fixture
def engine(tmp_path: Path, generators: dict[str, Named]) -> Iterator[Engine]:
    store = fake_store(tmp_path)
    made = engine_over(store, tmp_path)
    all_of = tuple(served(each, name) for name, each in generators.items())
    made.rag.models, made.rag.served = Models(all_of, ("deep", "fast")), all_of[0]
    path = tmp_path / "manual.txt"
    path.write_text("The battery of the gauge lasts 400 days.\n")
    ingested(made, path)
    yield replace(made, relays={name: FakeRelay(f'"{name}"'.encode()) for name in generators})
    made.rag.conversations.close()
    store.close()


@pytest.fixture
def rag(engine: Engine) -> Rag:
    return engine.rag


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(engine) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as asking,
    ):
        yield asking


async def events(rag: Rag, question: Question) -> list[Event]:
    return [event async for event in rag.stream(question)]


def said(all_of: list[Event]) -> str:
    return "".join(event.text for event in all_of if isinstance(event, Piece))


async def test_the_role_answers_unless_another_is_named(rag: Rag) -> None:
    for model, by in ((None, "answer"), ("answer", "answer"), ("deep", "deep"), ("org/fast", "fast")):
        answer = await rag.answer(replace(ASKED, model=model))
        assert answer.text.startswith(f"org/{by} says")
        assert (answer.receipt.model, answer.receipt.answered_by) == (f"org/{by}", by)
        assert answer.receipt.passed_over == ()
        assert answer.receipt.warnings == ()


async def test_an_unknown_model_is_refused_with_those_that_there_are(rag: Rag) -> None:
    with pytest.raises(ModelNotFound, match=r"no model 'gpt' here\. There are: answer, fast, deep"):
        await rag.answer(replace(ASKED, model="gpt"))


async def test_the_next_answers_where_one_is_down_and_the_receipt_says_so(
    rag: Rag, generators: dict[str, Named]
) -> None:
    generators["answer"].error = DOWN
    answer = await rag.answer(ASKED)
    assert answer.text.startswith("org/deep says")
    assert answer.receipt.answered_by == "deep"
    assert answer.receipt.passed_over == (PassedOver("answer", "It is off."),)
    assert answer.receipt.warnings == ("answer is down, so deep answered: It is off.",)
    generators["deep"].error = ModelUnavailable("No power.")
    answer = await rag.answer(ASKED)
    assert answer.receipt.passed_over == (PassedOver("answer", "It is off."), PassedOver("deep", "No power."))


async def test_one_that_was_down_is_asked_again_soon_not_at_once(
    rag: Rag, generators: dict[str, Named], monkeypatch: pytest.MonkeyPatch
) -> None:
    generators["answer"].error = DOWN
    assert (await rag.answer(ASKED)).receipt.answered_by == "deep"
    generators["answer"].error = None
    assert (await rag.answer(ASKED)).receipt.passed_over == (PassedOver("answer", "It is off."),)
    assert (await rag.answer(replace(ASKED, model="answer"))).receipt.answered_by == "answer"
    monkeypatch.setattr(models, "RETRY_S", 0.0)
    back = (await rag.answer(ASKED)).receipt
    assert (back.answered_by, back.passed_over) == ("answer", ())


async def test_one_that_dies_before_its_first_word_is_replaced_and_the_reading_told_again(
    rag: Rag, generators: dict[str, Named]
) -> None:
    class Dying(Named):
        async def stream(self, *args: object, **more: object):  # type: ignore[no-untyped-def]
            raise DOWN
            yield

    rag.models = replace(
        rag.models, all=(replace(rag.served, generator=Dying("org/answer")), *rag.models.all[1:])
    )
    happened = await events(rag, ASKED)
    readings = [event.receipt for event in happened if isinstance(event, Reading)]
    assert [each.answered_by for each in readings] == ["answer", "deep"]
    assert said(happened) == "org/deep says 400 days [1]."
    assert isinstance(happened[-1], Answer)
    assert happened[-1].text == said(happened)


async def test_one_that_dies_within_its_answer_is_not_replaced(
    rag: Rag, generators: dict[str, Named]
) -> None:
    generators["answer"].breaks_with = DOWN
    stream = rag.stream(ASKED)
    happened = [await anext(stream), await anext(stream)]
    with pytest.raises(ModelUnavailable, match="It is off"):
        await anext(stream)
    assert said(happened) == "org/answer "
    assert generators["deep"].sent == []


async def test_only_a_model_that_is_down_is_replaced(rag: Rag, generators: dict[str, Named]) -> None:
    generators["answer"].error = ModelRefused("No.")
    with pytest.raises(ModelRefused):
        await rag.answer(ASKED)


async def test_where_none_answers_it_is_said_of_each_why(rag: Rag, generators: dict[str, Named]) -> None:
    for name, each in generators.items():
        each.error = ModelUnavailable(f"{name} is off.", "Start it.")
    with pytest.raises(
        ModelUnavailable, match=r"answer: answer is off\. deep: deep is off\. fast: fast is off"
    ):
        await rag.answer(ASKED)


async def test_a_named_model_is_replaced_only_where_that_is_set(
    rag: Rag, generators: dict[str, Named]
) -> None:
    generators["fast"].error = DOWN
    with pytest.raises(ModelUnavailable, match="It is off"):
        await rag.answer(replace(ASKED, model="fast"))
    rag.models = replace(rag.models, for_named=True)
    receipt = (await rag.answer(replace(ASKED, model="fast"))).receipt
    assert receipt.answered_by == "deep"
    assert receipt.warnings == ("fast is down, so deep answered: It is off.",)


async def test_without_a_fallback_nobody_stands_in(rag: Rag, generators: dict[str, Named]) -> None:
    generators["answer"].error = DOWN
    rag.models = replace(rag.models, fallback=())
    with pytest.raises(ModelUnavailable, match="It is off"):
        await rag.answer(ASKED)


async def test_each_model_has_its_own_cache_and_queue(rag: Rag) -> None:
    caching = {name: CachingGenerator("Yes.") for name in ("answer", "deep")}
    all_of = tuple(served(each, name) for name, each in caching.items())
    rag.models, rag.served = Models(all_of), all_of[0]
    for model, cached in (("answer", 0), ("deep", 0), ("answer", 4), ("deep", 4)):
        usage = (receipt := (await rag.answer(replace(ASKED, model=model))).receipt).usage
        assert usage is not None
        assert usage.cached is not None
        assert usage.cached >= cached
        assert (usage.cached > 0) == (cached > 0)
        assert receipt.predicted_cached == usage.cached
    assert [each.serving.gate.questions for each in rag.models] == [2, 2]


async def test_the_fast_model_rewrites_follow_ups_and_the_other_where_it_is_down(
    rag: Rag, generators: dict[str, Named]
) -> None:
    rag.rewrite_follow_ups = True
    conversation = rag.conversations.create().id
    asked = replace(ASKED, conversation=conversation)
    await rag.answer(asked)
    generators["fast"].reply = "How long does the battery of the gauge last in winter?"
    happened = await events(rag, replace(asked, text="And in winter?"))
    assert isinstance(happened[0], Reading)
    assert happened[0].searched_for == generators["fast"].reply
    generators["fast"].error = DOWN
    generators["answer"].reply = "How long does it last in summer?"
    happened = await events(rag, replace(asked, text="And in summer?"))
    assert isinstance(happened[0], Reading)
    assert happened[0].searched_for == generators["answer"].reply
    assert isinstance(happened[-1], Answer)
    assert "The follow-up was not rewritten by fast: It is off." in happened[-1].receipt.warnings


async def test_a_conversation_goes_on_with_another_model(rag: Rag) -> None:
    conversation = rag.conversations.create().id
    for model in ("answer", "deep"):
        await rag.answer(replace(ASKED, conversation=conversation, model=model))
    turns = rag.conversations.turns(conversation)
    assert all(isinstance(turn, Turn) for turn in turns)
    assert [turn.text.split()[0] for turn in turns] == ["org/answer", "org/deep"]


async def test_a_conversation_is_not_taken_twice_while_another_model_takes_over(
    rag: Rag, generators: dict[str, Named]
) -> None:
    generators["answer"].error = DOWN
    conversation = rag.conversations.create().id
    asked = replace(ASKED, conversation=conversation)
    first = rag.stream(asked)
    await anext(first)
    with pytest.raises(ConversationBusy):
        await rag.answer(asked)
    await first.aclose()


async def test_what_is_down_is_told_and_what_stands_in_makes_ready(
    client: httpx.AsyncClient, generators: dict[str, Named]
) -> None:
    told = (await client.get("/v1/status")).json()["models"]
    assert [(each["name"], each["ok"]) for each in told] == [("answer", True), ("fast", True), ("deep", True)]
    for name in ("answer", "deep"):
        generators[name].error = DOWN
    reply = await client.get("/readyz")
    checks = {name: check["ok"] for name, check in reply.json()["checks"].items()}
    assert checks == {
        "embedder": True, "store": True, "model": False, "model fast": True, "model deep": False
    }  # fmt: skip
    assert reply.status_code == 200
    generators["fast"].error = DOWN
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/v1/status")).json()["models"][2]["detail"] == "It is off. Start it."


async def test_the_queue_of_each_model_is_a_metric_of_its_own(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    deep = engine.rag.models.all[2].serving.gate
    with deep.entered(ticket := Ticket()):
        async with deep.turn(ticket, 1.0):
            told = (await client.get("/metrics")).text
    lines = {line for line in told.splitlines() if line.startswith("openbook_queue_running{")}
    assert lines == {
        'openbook_queue_running{model="answer"} 0.0',
        'openbook_queue_running{model="fast"} 0.0',
        'openbook_queue_running{model="deep"} 1.0',
    }
    refused = await client.post("/v1/answer", json={"question": ASKED.text, "model": "org/made-up"})
    assert refused.status_code == 404
    assert "made-up" not in (await client.get("/metrics")).text


async def test_rest_takes_a_model_and_says_who_answered(client: httpx.AsyncClient) -> None:
    body = {"question": ASKED.text, "model": "deep"}
    answer = (await client.post("/v1/answer", json=body)).json()
    assert answer["receipt"]["answered_by"] == "deep"
    refused = await client.post("/v1/answer", json=body | {"model": "gpt"})
    assert (refused.status_code, refused.json()["code"]) == (404, "ModelNotFound")
    assert "answer, fast, deep" in refused.json()["detail"]


async def test_a_plan_is_made_by_the_model_that_is_named(client: httpx.AsyncClient, engine: Engine) -> None:
    """With its window, and its server's speed."""
    first, fast, deep = engine.rag.models.all
    deep = replace(deep, limits=Limits(context_tokens=3), serving=replace(deep.serving, costs=Costly(0.25)))
    engine.rag.models = replace(engine.rag.models, all=(first, fast, deep))
    usual, named = [
        (await client.get("/v1/plan", params=asked)).json() for asked in ({}, {"model": "org/deep"})
    ]
    assert (usual["model"], usual["seconds"]) == ("answer", None)
    assert usual["budget_tokens"] > 100
    assert (named["model"], named["seconds"], named["budget_tokens"], named["tokens"]) == ("deep", 0.25, 3, 3)
    refused = await client.get("/v1/plan", params={"model": "gpt"})
    assert (refused.status_code, refused.json()["code"]) == (404, "ModelNotFound")


async def test_openai_clients_name_a_model_behind_a_collection(client: httpx.AsyncClient) -> None:
    listed = [each["id"] for each in (await client.get("/v1/models")).json()["data"]]
    assert {"openbook/default", "openbook/default@deep", "openbook/default@fast"} <= set(listed)
    assert {"org/answer", "fast", "deep"} <= set(listed)
    assert (await client.get("/v1/models/openbook/default@deep")).status_code == 200
    assert (await client.get("/v1/models/openbook/default@gpt")).status_code == 404
    for model, by in (("openbook/default@deep", "deep"), ("openbook/default@org/fast:sources", "fast")):
        body = {"model": model, "messages": [{"role": "user", "content": ASKED.text}]}
        reply = (await client.post("/v1/chat/completions", json=body)).json()
        assert reply["openbook"]["receipt"]["answered_by"] == by
        assert reply["choices"][0]["message"]["content"].startswith(f"org/{by} says")
    body["model"] = "openbook/default@gpt"
    refused = await client.post("/v1/chat/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


async def test_requests_to_a_models_own_name_go_to_its_server(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    for model, by in (("org/answer", "answer"), ("deep", "deep"), ("org/fast", "fast")):
        body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
        assert (await client.post("/v1/chat/completions", json=body)).json() == by
        relay = engine.relays[by]
        assert isinstance(relay, FakeRelay)
        assert relay.asked[-1][1]["model"] == f"org/{by}"


async def test_titles_of_chats_are_made_by_the_fast_model(
    client: httpx.AsyncClient, generators: dict[str, Named]
) -> None:
    task = {
        "model": "openbook/default",
        "messages": [{"role": "user", "content": "### Task:\nGenerate a title."}],
    }
    assert (await client.post("/v1/chat/completions", json=task)).json() == "fast"
    generators["fast"].error = DOWN
    assert (await client.post("/v1/chat/completions", json=task)).json() == "answer"


class Silent(FakeGenerator):
    async def model(self) -> ModelInfo:
        await asyncio.sleep(60)
        raise AssertionError


async def test_a_model_that_says_nothing_is_not_waited_for(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, deep = engine.rag.models
    engine.rag.models = Models((first, replace(deep, generator=Silent())))
    monkeypatch.setattr(model_states, "PATIENCE_S", 0.01)
    told = await model_states.states(engine)
    assert [(each.name, each.ok) for each in told] == [("answer", True), ("deep", False)]
    assert told[1].detail == "It does not answer within 0.01 s."


async def test_nor_is_the_first_one(
    client: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(engine.rag, generator=Silent())
    monkeypatch.setattr(model_states, "PATIENCE_S", 0.01)
    async with asyncio.timeout(10):
        reply = await client.get("/readyz")
    assert reply.json()["checks"]["model"] == {"ok": False, "detail": "It does not answer within 0.01 s."}


@pytest.mark.parametrize("path", ["/readyz", "/v1/status"])
async def test_each_model_is_asked_once(
    client: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    asked: list[FakeGenerator] = []

    async def model(generator: FakeGenerator) -> ModelInfo:
        asked.append(generator)
        return ModelInfo("it", 4096)

    monkeypatch.setattr(FakeGenerator, "model", model)
    assert (await client.get(path)).status_code == 200
    assert len(asked) == len({*map(id, asked)}) == len(engine.rag.models.all)
