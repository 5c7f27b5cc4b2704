"""The paths that OpenAI's clients speak, over an engine of fakes and without sockets: shapes, chats, errors."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api.openai.citing import without_sources
from conftest import ROOT
from fake_engine import REPLY, engine_over, fake_store, ingested
from fakes import FakeGenerator, FakeRelay
from openapi_check import mismatches
from rag import errors as e
from rag.answers import Answers
from rag.compose import Engine
from rag.store.edge import EdgeStore
from service_in_process import serving

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

TEXT = "# Gauge\n\nThe battery of the gauge lasts 400 days — even in winter.\n"
QUESTION = "How long does the battery of the gauge last?"
COLLECTION = "openbook/default"
CHAT = "/v1/chat/completions"
OPEN_WEBUI = ROOT / "tests" / "data" / "open_webui"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("openai").resolve()


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[EdgeStore]:
    (folder / "gauge.md").write_text(TEXT)
    store = fake_store(folder)
    for collection in ("default", "second"):
        ingested(engine_over(store, folder), folder / "gauge.md", collection=collection)
    yield store
    store.close()


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(REPLY)


@pytest.fixture
def engine(store: EdgeStore, folder: Path, generator: FakeGenerator) -> Engine:
    engine = engine_over(store, folder, generator)
    engine.rag.answers = Answers(most=100)
    return engine


@pytest.fixture
def relay(engine: Engine) -> FakeRelay:
    relay = engine.relays["answer"]
    assert isinstance(relay, FakeRelay)
    return relay


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


def chat(*said: str, model: str = COLLECTION, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(said)]
    return {"model": model, "messages": messages, **more}


def open_webui(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((OPEN_WEBUI / f"{name}.json").read_text())
    return body


async def chunks(client: httpx.AsyncClient, body: dict[str, Any], path: str = CHAT) -> list[Any]:
    reply = await client.post(path, json=body | {"stream": True})
    assert reply.status_code == 200, reply.text
    data = [line.removeprefix("data: ") for line in reply.text.split("\n") if line.startswith("data: ")]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


def refused(reply: httpx.Response, status: int, code: str | None, param: str | None = None) -> str:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    message: str = error["message"]
    return message


# --- models ------------------------------------------------------------------------------------------------


async def test_collections_are_models_and_so_are_what_serves_them(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [
        "openbook/default",
        "openbook/second",
        "openbook/default+second",
        "fake-model",
        "fake-bag-of-words",
    ]
    assert {model["object"] for model in listed["data"]} == {"model"}


async def test_a_model_by_its_id(client: httpx.AsyncClient) -> None:
    for id_ in ("openbook/default", "openbook/second+default", "fake-model", "openbook/default:sources"):
        assert (await client.get(f"/v1/models/{id_}")).json()["id"] == id_
    refused(await client.get("/v1/models/openbook/none"), 404, "model_not_found")
    refused(await client.get("/v1/models/gpt-4o"), 404, "NotFound")


async def test_models_are_listed_where_the_model_server_is_gone(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.error = e.ModelUnavailable("gone")
    ids = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
    assert ids[0] == COLLECTION
    assert "fake-model" not in ids


# --- chat completions --------------------------------------------------------------------------------------


async def test_a_completion_is_cited_in_its_text_beside_it_and_in_its_annotations(
    client: httpx.AsyncClient,
) -> None:
    reply = (await client.post(CHAT, json=chat(QUESTION))).json()
    (choice,) = reply["choices"]
    text = choice["message"]["content"]
    assert (reply["object"], reply["model"], text, choice["finish_reason"]) == (
        "chat.completion", COLLECTION, REPLY, "stop",
    )  # fmt: skip
    (annotation,) = choice["message"]["annotations"]
    cited = annotation["url_citation"]
    assert text[cited["start_index"] : cited["end_index"]].startswith("The battery")
    assert cited["url"].endswith("gauge.md#L3-L3")
    (citation,) = reply["citations"]
    assert citation["quote"] in TEXT
    assert reply["openbook"]["receipt"]["collection"] == "default"
    assert reply["openbook"]["answerable"] is True
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_a_stream_says_the_same_in_chunks(client: httpx.AsyncClient) -> None:
    *said, last, done = await chunks(client, chat(QUESTION))
    assert done == "[DONE]"
    assert said[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(each["choices"][0]["delta"]["content"] for each in said) == REPLY
    assert {each["object"] for each in said} == {"chat.completion.chunk"}
    assert len({each["id"] for each in said}) == 1
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["choices"][0]["delta"]["annotations"][0]["type"] == "url_citation"
    assert last["citations"][0]["quote"] in TEXT
    assert "usage" not in last


async def test_a_stream_is_counted_where_that_is_asked_for(client: httpx.AsyncClient) -> None:
    asked = chat(QUESTION, stream_options={"include_usage": True})
    *said, counted, _ = await chunks(client, asked)
    assert counted["choices"] == []
    assert counted["usage"]["completion_tokens"] > 0
    assert all(each["usage"] is None for each in said)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", [{"model": f"{COLLECTION}:sources"}, {"sources": True}])
async def test_sources_are_listed_in_the_text_where_that_is_asked_for(
    client: httpx.AsyncClient, how: dict[str, Any], stream: bool
) -> None:
    body = chat(QUESTION) | how
    if stream:
        said = (await chunks(client, body))[:-1]
        text = "".join(each["choices"][0]["delta"].get("content", "") for each in said)
    else:
        text = (await client.post(CHAT, json=body)).json()["choices"][0]["message"]["content"]
    assert text.startswith(f"{REPLY}\n\n**Sources**\n\n- [1] ")
    assert "gauge.md, line 3: “The battery of the gauge lasts 400 days" in text


async def test_several_collections_are_one_model(client: httpx.AsyncClient) -> None:
    reply = (await client.post(CHAT, json=chat(QUESTION, model="openbook/default+second"))).json()
    assert reply["openbook"]["receipt"]["collection"] == "default, second"


async def test_nothing_found_is_an_answer_that_says_so(client: httpx.AsyncClient) -> None:
    asked = chat(QUESTION, filter={"paths": ["*.pdf"]})
    reply = (await client.post(CHAT, json=asked)).json()
    assert reply["choices"][0]["message"]["content"] == "The documents do not say."
    assert reply["openbook"]["answerable"] is False
    assert reply["usage"]["total_tokens"] == 0
    said = (await chunks(client, asked))[:-1]
    assert "".join(each["choices"][0]["delta"].get("content", "") for each in said) == (
        "The documents do not say."
    )


async def test_what_is_asked_of_an_answer_reaches_it(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    asked = chat(QUESTION, temperature=0.3, top_p=0.5, seed=7, stop="END", max_completion_tokens=50)
    asked |= {"policy": "documents", "max_context_tokens": 300, "target_ttft_ms": 5000, "user": "ada"}
    reply = (await client.post(CHAT, json=asked)).json()
    assert generator.options[-1] == (50, 0.3, 0.5, 7, ("END",))
    assert reply["openbook"]["receipt"]["budget_tokens"] == 300
    assert reply["openbook"]["receipt"]["target_s"] == 5
    assert reply["openbook"]["ignored"] == ["user"]


# --- chats -------------------------------------------------------------------------------------------------


async def test_a_chat_goes_on_where_its_prompt_ended(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    await client.post(CHAT, json=chat(QUESTION))
    await chunks(client, chat(QUESTION, REPLY, "And in winter?"))
    await client.post(CHAT, json=chat(QUESTION, REPLY, "And in winter?", REPLY, "Why is that?"))
    first, second, third = ([message.content for message in sent] for sent in generator.sent)
    assert second[: len(first)] == first
    assert third[: len(second)] == second


async def test_a_chat_that_is_not_known_goes_on_with_its_words(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    reply = await client.post(CHAT, json=chat("How long?", "Which gauge [3]?", "Its battery, of course"))
    roles = [(message.role, message.content) for message in generator.sent[-1]]
    assert [role for role, _ in roles] == ["system", "user", "assistant", "user"]
    assert roles[2][1] == "Which gauge?"
    assert "<document [1]" in roles[3][1]
    warnings = reply.json()["openbook"]["receipt"]["warnings"]
    assert any("packed anew: nothing that was read before is known" in each for each in warnings)


async def test_a_list_of_sources_that_comes_back_is_no_part_of_what_was_said(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    model = f"{COLLECTION}:sources"
    first = (await client.post(CHAT, json=chat(QUESTION, model=model))).json()
    text = first["choices"][0]["message"]["content"]
    await client.post(CHAT, json=chat(QUESTION, text, "And in winter?", model=model))
    assert [message.content for message in generator.sent[-1]][2] == REPLY
    assert "<document [1]" in generator.sent[-1][1].content


def test_blanks_of_what_was_said_cost_no_time() -> None:
    """On the event loop: where each of them was looked at from each other, it stood still for minutes."""
    text, sources = "a" + " " * 200_000 + "b", "\n\n**Sources**\n\n- [1] gauge.md, line 3: “400 days”\n"
    began = time.process_time()
    assert without_sources(text + sources) == text
    assert without_sources(text) == text
    assert time.process_time() - began < 1


async def test_system_messages_stand_behind_the_documents(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    body = chat(QUESTION)
    body["messages"].insert(0, {"role": "system", "content": "Answer in Czech."})
    await client.post(CHAT, json=body)
    system, user = generator.sent[-1]
    assert "Czech" not in system.content
    documents, _, rest = user.content.partition("</document>")
    assert "Czech" not in documents
    assert rest.strip().startswith("Instructions for the answer: Answer in Czech.\n\nQuestion: ")


async def test_messages_of_one_side_are_read_together(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    roles = ["assistant", "user", "user", "assistant", "assistant", "user"]
    messages = [{"role": role, "content": f"battery {at}"} for at, role in enumerate(roles)]
    await client.post(CHAT, json={"model": COLLECTION, "messages": messages})
    _, asked, said, last = (message.content for message in generator.sent[-1])
    assert asked.endswith("Question: battery 1\n\nbattery 2")
    assert said == "battery 3\n\nbattery 4"
    assert last.endswith("Question: battery 5")


# --- what is refused ---------------------------------------------------------------------------------------

TOOLS = [{"type": "function", "function": {"name": "f"}}]

REFUSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"n": 2}, 400, "BadParameter", "n"),
    ({"tools": TOOLS, "tool_choice": "required"}, 400, "BadParameter", "tool_choice"),
    ({"tools": TOOLS, "tool_choice": TOOLS[0]}, 400, "BadParameter", "tool_choice"),
    ({"functions": [{"name": "f"}], "function_call": {"name": "f"}}, 400, "BadParameter", "function_call"),
    ({"response_format": {"type": "json_object"}}, 400, "BadParameter", "response_format"),
    ({"logprobs": True}, 400, "BadParameter", "logprobs"),
    ({"temperature": 3}, 400, "BadRequest", "temperature"),
    ({"max_tokens": 0}, 400, "BadRequest", "max_tokens"),
    ({"messages": []}, 400, "BadRequest", "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 400, "BadParameter", "messages.0"),
    ({"messages": [{"role": "system", "content": "x"}]}, 400, "BadParameter", "messages"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        400,
        "BadParameter",
        "messages.0.content.0",
    ),
    ({"messages": [{"role": "user", "content": " "}]}, 400, "BadRequest", None),
    ({"messages": [{"role": "user", "content": "x" * 9000}]}, 400, "context_length_exceeded", None),
    ({"max_tokens": 100_000}, 400, "context_length_exceeded", None),
    ({"model": "openbook/none"}, 404, "model_not_found", None),
    ({"model": "openbook/"}, 400, "BadName", None),
    ({"model": "gpt-4o"}, 404, "model_not_found", None),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "status", "code", "param"), REFUSED)
async def test_what_cannot_be_done_is_refused_as_openai_does(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, param: str | None, stream: bool
) -> None:
    refused(await client.post(CHAT, json=chat(QUESTION, stream=stream) | body), status, code, param)


@pytest.mark.parametrize("choice", [{}, {"tool_choice": "auto"}, {"tool_choice": "none"}])
async def test_tools_that_may_be_called_are_not(client: httpx.AsyncClient, choice: dict[str, str]) -> None:
    reply = (await client.post(CHAT, json=chat(QUESTION, tools=TOOLS, **choice))).json()
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert "tools" in reply["openbook"]["ignored"]


async def test_no_tools_at_all_is_no_use_of_tools(client: httpx.AsyncClient) -> None:
    more: dict[str, Any] = {
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "logprobs": False,
        "n": 1,
    }
    assert (await client.post(CHAT, json=chat(QUESTION, **more))).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (e.Overloaded("full", retry_after_s=7), 429, "rate_limit_exceeded", "rate_limit_error"),
        (e.ModelUnavailable("gone"), 503, "ModelUnavailable", "server_error"),
        (e.ModelRefused("no"), 502, "ModelRefused", "server_error"),
    ],
)
async def test_failures_have_their_status_and_say_when_to_come_back(
    client: httpx.AsyncClient, generator: FakeGenerator, error: e.RagError, status: int, code: str, kind: str
) -> None:
    generator.error = error
    reply = await client.post(CHAT, json=chat(QUESTION))
    refused(reply, status, code)
    assert reply.json()["error"]["type"] == kind
    assert ("retry-after" in reply.headers) == (status in (429, 503))


async def test_an_error_within_a_stream_is_its_last_event(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.breaks_with = e.ModelUnavailable("gone in the middle")
    *_, last = await chunks(client, chat(QUESTION))
    assert last["error"]["message"] == "gone in the middle"
    *_, last = await chunks(client, {"model": COLLECTION, "input": QUESTION}, "/v1/responses")
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")


async def test_paths_and_methods_that_are_none(client: httpx.AsyncClient) -> None:
    refused(await client.get(CHAT), 405, "BadRequest")
    refused(await client.get("/v1/responses/resp_1"), 404, "NotFound")
    broken = await client.post(CHAT, content=b"{", headers={"content-type": "application/json"})
    refused(broken, 400, "BadRequest")


# --- the model server's own model --------------------------------------------------------------------------


async def test_the_raw_model_gets_the_request_as_it_is(client: httpx.AsyncClient, relay: FakeRelay) -> None:
    body = chat("Hi", model="fake-model", tools=[{"type": "function"}], n=3, logit_bias={"1": 2})
    reply = await client.post(CHAT, json=body)
    assert reply.content == relay.body
    assert relay.asked == [("chat/completions", body)]
    asked = {"model": "fake-model", "input": [{"type": "function_call_output", "output": "x"}]}
    await client.post("/v1/responses", json=asked)
    assert relay.asked[-1] == ("responses", asked)


async def test_what_the_model_server_says_is_not_looked_at(
    client: httpx.AsyncClient, relay: FakeRelay
) -> None:
    relay.body, relay.status = b'{"error": {"message": "no"}}', 400
    reply = await client.post(CHAT, json=chat("Hi", model="fake-model"))
    assert (reply.status_code, reply.content) == (400, relay.body)


async def test_the_raw_model_waits_in_the_same_line(client: httpx.AsyncClient, engine: Engine) -> None:
    before = engine.rag.serving.gate.questions
    await client.post(CHAT, json=chat("Hi", model="fake-model"))
    assert engine.rag.serving.gate.questions == before + 1
    assert engine.rag.serving.gate.requests == 0


# --- Open WebUI --------------------------------------------------------------------------------------------


async def test_what_open_webui_asks_in_a_chat(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    *said, done = await chunks(client, open_webui("first"))
    assert done == "[DONE]"
    assert said[-1]["choices"][0]["delta"]["annotations"]
    *_, done = await chunks(client, open_webui("follow_up"))
    assert done == "[DONE]"
    *_, done = await chunks(client, open_webui("parameters"))
    assert done == "[DONE]"
    assert generator.sent[1][1].content == generator.sent[0][1].content
    whole = (await client.post(CHAT, json=open_webui("parts"))).json()
    assert whole["choices"][0]["message"]["content"] == REPLY


@pytest.mark.parametrize("task", ["title", "tags", "follow_ups"])
async def test_what_open_webui_asks_beside_a_chat_goes_to_the_model(
    client: httpx.AsyncClient, relay: FakeRelay, generator: FakeGenerator, task: str
) -> None:
    reply = await client.post(CHAT, json=open_webui(task))
    assert reply.content == relay.body
    assert relay.asked == [("chat/completions", open_webui(task) | {"model": "fake-model"})]
    assert generator.sent == []


# --- responses ---------------------------------------------------------------------------------------------


async def test_a_response_has_its_text_with_what_it_cites(client: httpx.AsyncClient) -> None:
    asked = {"model": COLLECTION, "input": QUESTION, "instructions": "Be brief."}
    reply = (await client.post("/v1/responses", json=asked)).json()
    assert (reply["object"], reply["status"]) == ("response", "completed")
    (item,) = reply["output"]
    (part,) = item["content"]
    assert (part["type"], part["text"]) == ("output_text", REPLY)
    assert part["annotations"][0]["title"].endswith("gauge.md, line 3")
    assert reply["usage"]["input_tokens"] > 0
    assert reply["citations"][0]["quote"] in TEXT


async def test_a_response_goes_on_with_the_one_before(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    first = (await client.post("/v1/responses", json={"model": COLLECTION, "input": QUESTION})).json()
    asked = {"model": COLLECTION, "input": "And in winter?", "previous_response_id": first["id"]}
    second = (await client.post("/v1/responses", json=asked)).json()
    assert second["previous_response_id"] == first["id"]
    before, after = ([message.content for message in sent] for sent in generator.sent)
    assert after[: len(before)] == before
    unknown = await client.post("/v1/responses", json=asked | {"previous_response_id": "resp_0"})
    refused(unknown, 400, "BadParameter", "previous_response_id")
    kept = await client.post("/v1/responses", json={"model": COLLECTION, "input": QUESTION, "store": False})
    asked["previous_response_id"] = kept.json()["id"]
    refused(await client.post("/v1/responses", json=asked), 400, "BadParameter", "previous_response_id")


async def test_the_events_of_a_response_are_in_order(client: httpx.AsyncClient) -> None:
    said = await chunks(client, {"model": COLLECTION, "input": QUESTION}, "/v1/responses")
    assert [each["sequence_number"] for each in said] == [*range(len(said))]
    kinds = list(dict.fromkeys(each["type"].removeprefix("response.") for each in said))
    assert kinds == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta",
        "output_text.annotation.added", "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    text = "".join(each["delta"] for each in said if each["type"] == "response.output_text.delta")
    assert text == said[-1]["response"]["output"][0]["content"][0]["text"] == REPLY


async def test_items_of_a_response_are_messages(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": REPLY}]},
        {"role": "user", "content": "And in winter?"},
    ]
    reply = await client.post("/v1/responses", json={"model": COLLECTION, "input": items})
    assert reply.status_code == 200
    assert [message.role for message in generator.sent[-1]] == ["system", "user", "assistant", "user"]
    bad = {"model": COLLECTION, "input": [{"type": "function_call_output", "output": "x"}]}
    refused(await client.post("/v1/responses", json=bad), 400, "BadParameter", "input.0")


# --- embeddings and ranks ----------------------------------------------------------------------------------


async def test_embeddings_are_those_of_the_collections(client: httpx.AsyncClient, engine: Engine) -> None:
    asked: dict[str, Any] = {"model": "fake-bag-of-words", "input": [QUESTION, TEXT]}
    reply = (await client.post("/v1/embeddings", json=asked)).json()
    assert [each["index"] for each in reply["data"]] == [0, 1]
    expected = engine.embedder.embed([QUESTION, TEXT])
    assert np.allclose([each["embedding"] for each in reply["data"]], expected)
    assert reply["usage"]["prompt_tokens"] == sum(engine.rag.tokens.count([QUESTION, TEXT]))
    encoded = (await client.post("/v1/embeddings", json=asked | {"encoding_format": "base64"})).json()
    vectors = [np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in encoded["data"]]
    assert np.allclose(vectors, expected)
    one = (await client.post("/v1/embeddings", json=asked | {"input": "x", "dimensions": 64})).json()
    assert len(one["data"]) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"dimensions": 32}, 400, "BadParameter", "dimensions"),
        ({"input": [1, 2]}, 400, "BadParameter", "input"),
        ({"input": [[1, 2]]}, 400, "BadParameter", "input"),
        ({"input": []}, 400, "BadRequest", "input"),
        ({"input": ["x", " "]}, 400, "BadParameter", "input"),
        ({"model": "text-embedding-3-small"}, 404, "NotFound", None),
    ],
)
async def test_what_cannot_be_embedded(
    client: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    asked = {"model": "fake-bag-of-words", "input": "x"} | body
    refused(await client.post("/v1/embeddings", json=asked), status, code, param)


class ByLength:
    name = "by-length"

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        return [float(len(passage)) for passage in passages]


async def test_documents_are_ranked_by_what_there_is(client: httpx.AsyncClient) -> None:
    documents = ["bread and butter", {"text": "the battery of the gauge"}, "gauge"]
    asked = {"query": "battery of the gauge", "documents": documents, "top_n": 2, "return_documents": True}
    reply = (await client.post("/v1/rerank", json=asked)).json()
    assert (reply["model"], reply["method"]) == ("fake-bag-of-words", "cosine")
    assert [each["index"] for each in reply["results"]] == [1, 2]
    assert reply["results"][0]["document"] == {"text": "the battery of the gauge"}
    assert reply["usage"]["total_tokens"] == 4 + 3 + 5 + 1


async def test_documents_are_ranked_by_the_reranker_where_there_is_one(engine: Engine) -> None:
    engine.rag.reranker = ByLength()
    async with serving(replace(engine)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            reply = (
                await client.post("/v1/rerank", json={"query": "x", "documents": ["a", "ccc", "bb"]})
            ).json()
            assert (reply["model"], reply["method"]) == ("by-length", "cross-encoder")
            assert [each["index"] for each in reply["results"]] == [1, 2, 0]
            ids = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
            assert "by-length" in ids


async def test_replies_are_as_the_description_says(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    asked: list[tuple[str, dict[str, Any]]] = [
        (CHAT, chat(QUESTION)),
        (CHAT, chat(QUESTION, filter={"paths": ["*.pdf"]})),
        ("/v1/responses", {"model": COLLECTION, "input": QUESTION}),
        ("/v1/embeddings", {"model": "fake-bag-of-words", "input": "x"}),
        ("/v1/rerank", {"query": "x", "documents": ["x"]}),
    ]
    for path, body in asked:
        replies = document["paths"][path]["post"]["responses"]
        assert "422" not in replies
        schema = replies["200"]["content"]["application/json"]["schema"]
        schema = schema.get("anyOf", [schema])[0]  # the other is what the model server says
        assert mismatches((await client.post(path, json=body)).json(), schema, document) == []
