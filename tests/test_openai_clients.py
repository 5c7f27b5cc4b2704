"""What people use to speak OpenAI's interface, against the service on a socket: the official SDK, LlamaIndex."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import (
    ResponseCompletedEvent,
    ResponseInputItemParam,
    ResponseInputMessageItem,
    ResponseOutputMessage,
)

from conftest import ROOT
from fake_engine import REPLY, fake_engine, ingested
from fakes import FakeGenerator
from live import Live, live
from rag import errors as e
from rag.answers import FILE, Answers
from rag.compose import Engine

pytestmark = pytest.mark.process

QUESTION = "How long does the battery of the gauge last?"
MODEL = "openbook/default"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("clients").resolve()
    (folder / "gauge.md").write_text("# Gauge\n\nThe battery of the gauge lasts 400 days, even in winter.\n")
    with fake_engine(folder / "data", FakeGenerator(REPLY)) as engine:
        engine.rag.answers = Answers(folder / FILE, most=100)
        ingested(engine, folder / "gauge.md")
        yield engine
        engine.rag.answers.close()


@pytest.fixture
async def service(engine: Engine) -> AsyncIterator[Live]:
    async with live(engine) as service:
        yield service


@pytest.fixture
async def client(service: Live) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{service.url}/v1", api_key=service.token, max_retries=0, http_client=httpx.AsyncClient()
    ) as client:
        yield client


async def test_models(client: AsyncOpenAI) -> None:
    ids = [model.id async for model in client.models.list()]
    assert ids == [MODEL, "fake-model", "fake-bag-of-words"]
    assert (await client.models.retrieve(MODEL)).owned_by == "openbook"
    with pytest.raises(openai.NotFoundError, match="no collection 'none'"):
        await client.models.retrieve("openbook/none")


async def test_a_completion(client: AsyncOpenAI) -> None:
    reply = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
        temperature=0.2,
        max_tokens=100,
        extra_body={"max_context_tokens": 500, "filter": {"paths": ["*.md"]}},
    )
    (choice,) = reply.choices
    assert choice.message.content == REPLY
    assert choice.message.annotations
    assert "gauge.md" in choice.message.annotations[0].url_citation.title
    assert reply.usage
    assert reply.usage.total_tokens > 0
    assert reply.model_extra
    assert reply.model_extra["citations"][0]["quote"].startswith("The battery")
    assert reply.model_extra["openbook"]["receipt"]["budget_tokens"] == 500


async def test_a_stream(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == REPLY
    assert chunks[-1].usage
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_errors_are_raised_as_what_they_are(client: AsyncOpenAI, engine: Engine) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}], n=2
        )
    assert bad.value.param == "n"
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
    assert missing.value.type == "not_found_error"
    generator = engine.rag.generator
    assert isinstance(generator, FakeGenerator)
    generator.error = e.Overloaded("Too many wait.")
    with pytest.raises(openai.RateLimitError):
        await client.responses.create(model=MODEL, input=QUESTION)
    generator.error, generator.breaks_with = None, e.ModelUnavailable("gone in the middle")
    stream = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": QUESTION}], stream=True
    )
    with pytest.raises(openai.APIError, match="gone in the middle"):
        [chunk async for chunk in stream]
    generator.breaks_with = None


async def test_responses(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model=MODEL, input=QUESTION, instructions="Be brief.")
    assert first.output_text == REPLY
    assert first.usage
    second = await client.responses.create(
        model=MODEL, input="And in winter?", previous_response_id=first.id, stream=True
    )
    events = [event async for event in second]
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == REPLY


async def test_a_response_is_fetched_again_with_what_it_was_asked_and_forgotten(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model=MODEL, input=QUESTION, instructions="Be brief.")
    assert await client.responses.retrieve(made.id) == made
    said: list[ResponseInputItemParam] = [
        {"role": "user", "content": "How long?"},
        {"role": "assistant", "content": "400 days."},
        {"role": "user", "content": [{"type": "input_text", "text": "And in winter?"}]},
    ]
    stream = await client.responses.create(model=MODEL, input=said, previous_response_id=made.id, stream=True)
    *_, last = [event async for event in stream]
    assert isinstance(last, ResponseCompletedEvent)
    assert await client.responses.retrieve(last.response.id) == last.response
    items = [each async for each in client.responses.input_items.list(last.response.id, order="asc", limit=2)]
    assert [(type(each), each.content[0].text) for each in items] == [  # type: ignore[union-attr, index]
        (ResponseInputMessageItem, "How long?"),
        (ResponseOutputMessage, "400 days."),
        (ResponseInputMessageItem, "And in winter?"),
    ]
    await client.responses.delete(made.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
        with pytest.raises(openai.NotFoundError, match="There is no response") as missing:
            await gone(made.id)
        assert missing.value.type == "not_found_error"
    unkept = await client.responses.create(model=MODEL, input=QUESTION, store=False)
    assert (unkept.store, unkept.output_text) == (False, REPLY)  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(unkept.id)


async def test_a_stream_of_responses_through_the_helper_of_the_sdk(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model=MODEL, input=QUESTION) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_response()
    assert final.output_text == REPLY
    async with client.chat.completions.stream(
        model=MODEL, messages=[{"role": "user", "content": QUESTION}]
    ) as chat:
        async for _ in chat:
            pass
        assert (await chat.get_final_completion()).choices[0].message.content == REPLY


async def test_embeddings(client: AsyncOpenAI, engine: Engine) -> None:
    reply = await client.embeddings.create(model="fake-bag-of-words", input=["battery", "gauge"])
    assert [len(each.embedding) for each in reply.data] == [64, 64]  # sent as base64, as the SDK wants it
    assert reply.data[0].embedding == pytest.approx(engine.embedder.embed(["battery"])[0].tolist())
    assert reply.usage.total_tokens == 2


async def test_llama_index(service: Live) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from llama_index.core.llms import ChatMessage
        from llama_index.llms.openai_like import OpenAILike

    def asked() -> tuple[str, str]:
        model = OpenAILike(
            model=MODEL, api_base=f"{service.url}/v1", api_key=service.token, is_chat_model=True,
            context_window=4096, max_tokens=100,
        )  # fmt: skip
        whole = model.chat([ChatMessage("Be brief.", role="system"), ChatMessage(QUESTION)])
        pieces = [piece.delta or "" for piece in model.stream_complete(QUESTION)]
        return whole.message.content or "", "".join(pieces)

    assert await asyncio.to_thread(asked) == (REPLY, REPLY)


async def test_requests_as_open_webui_makes_them(service: Live) -> None:
    """Recorded from it, but for ``parameters`` and ``parts``, which are as its source makes them."""
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as client:
        for path in sorted((ROOT / "tests" / "data" / "open_webui").glob("*.json")):
            body = json.loads(path.read_text())
            reply = await client.post("/v1/chat/completions", json=body)
            assert reply.status_code == 200, path.name
            assert reply.text.rstrip().endswith("data: [DONE]" if body["stream"] else "}"), path.name
