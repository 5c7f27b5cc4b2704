from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from rag.errors import ContextTooLong, ModelRefused, ModelUnavailable, RagError
from rag.models import vllm_client
from rag.models.vllm_client import ChatClient
from rag.ports import Delta, Message, ModelInfo
from rag.question import Sampling
from rag.salt import salt_of
from rag.types import Usage

URL = "http://model.test/v1"
MODELS = {"data": [{"id": "small", "max_model_len": 8192}, {"id": "large", "max_model_len": 131072}]}
Answer = Callable[[httpx.Request], httpx.Response]


class Endless(httpx.AsyncByteStream):
    """Says all that it has to say, and stays."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield (piece("x", "stop") + event("[DONE]")).encode()
        await asyncio.Event().wait()


class Body(httpx.AsyncByteStream):
    """What a server sends piece by piece, until it breaks off with ``error``; knows when the client let go."""

    def __init__(self, parts: Iterable[str | bytes], error: Exception | None = None) -> None:
        self.parts, self.error = [part.encode() if isinstance(part, str) else part for part in parts], error
        self.sent, self.closed = 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            self.sent += 1
            yield part
        if self.error:
            raise self.error

    async def aclose(self) -> None:
        self.closed = True


def event(data: Any) -> str:
    return f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def piece(text: str | None = None, finish: str | None = None, **fields: Any) -> str:
    return event({"choices": [{"delta": {"content": text}, "finish_reason": finish}], **fields})


def streaming(body: httpx.AsyncByteStream) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)


def client(answer: Answer | Body, models: Any = MODELS, **options: Any) -> ChatClient:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return models if isinstance(models, httpx.Response) else httpx.Response(200, json=models)
        if not request.url.path.endswith("/completions"):  # what only vLLM tells
            return httpx.Response(404)
        return streaming(answer) if isinstance(answer, Body) else answer(request)

    return ChatClient(lambda: URL, transport=httpx.MockTransport(handle), **options)


async def ask(chat: ChatClient) -> list[Delta]:
    stream = chat.stream([Message("user", "How long?")], max_tokens=9)
    return [delta async for delta in stream]


async def reply(*parts: str | bytes, error: Exception | None = None) -> str:
    return "".join(delta.text for delta in await ask(client(Body(parts, error))))


async def test_pieces_the_reason_to_end_and_the_counts() -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 16}}
    body = Body(
        [
            piece(""),
            piece("It "),
            piece("lasts."),
            piece(None, "stop"),
            event({"choices": [], "usage": usage}),
        ]
    )
    body.parts.append(b"data: [DONE]\n\n")
    assert await ask(client(body)) == [
        Delta(),
        Delta("It "),
        Delta("lasts."),
        Delta(finish_reason="stop"),
        Delta(usage=Usage(50, 2, 16)),
    ]
    assert body.closed


async def test_what_is_asked_for() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streaming(Body([piece("x", "stop"), event("[DONE]")]))

    await ask(client(answer, model="large", api_key="secret"))
    sent = json.loads(seen[0].content)
    assert sent["model"] == "large"
    assert sent["messages"] == [{"role": "user", "content": "How long?"}]
    assert (sent["stream"], sent["max_tokens"], sent["temperature"]) == (True, 9, 0.0)
    assert sent["stream_options"]["include_usage"]
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert not {"top_p", "seed", "stop"} & sent.keys()


async def test_what_a_tenant_asks_meets_only_its_own_in_the_cache() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streaming(Body([piece("x", "stop"), event("[DONE]")]))

    chat = client(answer)
    await ask(chat)
    async for _ in chat.salted(salt_of("alice")).stream([Message("user", "How long?")], max_tokens=9):
        pass
    shared, own = (json.loads(request.content) for request in seen)
    assert own.pop("cache_salt").isalnum()
    assert own == shared
    assert salt_of("") == ""


async def test_how_it_samples_and_where_it_stops_is_asked_for() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return streaming(Body([piece("x", "stop"), event("[DONE]")]))

    chat = client(answer)
    async for _ in chat.stream(
        [Message("user", "?")], max_tokens=1, sampling=Sampling(0.5, 0.9, 7, ("END",))
    ):
        pass
    sent = json.loads(seen[0].content)
    assert [sent[name] for name in ("temperature", "top_p", "seed", "stop")] == [0.5, 0.9, 7, ["END"]]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 1}, Usage(5, 1, None)),
        ({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": None}, Usage(5, 1, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}}, Usage(5, 0, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}, Usage(5, 0, 0)),
        ({"prompt_tokens": 0}, Usage(0, 0, None)),
        ({"total_tokens": 5}, None),
        ({}, None),
        (None, None),
    ],
)
async def test_not_told_is_not_zero(usage: object, expected: Usage | None) -> None:
    (delta,) = await ask(client(Body([piece("x", "stop", usage=usage), event("[DONE]")])))
    assert delta.usage == expected


async def test_bytes_may_be_cut_anywhere_and_lines_end_as_they_like() -> None:
    whole = (piece("größer 🌊 ") + ": ping\n\n" + piece("a\u2028b\u0085c", "stop") + event("[DONE]")).encode()
    assert await reply(*(whole[at : at + 1] for at in range(len(whole)))) == "größer 🌊 a\u2028b\u0085c"
    raw = 'data: {"choices": [{"delta": {"content": "a\u2028b"}}]}\r\n\r\nevent: ping\r\ndata:\r\n\r\n'
    assert await reply(raw, piece("", "stop"), "data:[DONE] \n\n") == "a\u2028b"


async def test_half_a_surrogate_pair_becomes_a_sign_that_can_be_written() -> None:
    text = await reply(
        'data: {"choices": [{"delta": {"content": "\\ud83c\\udf0a \\ud83c!"}}]}\n\n', piece("", "stop")
    )
    assert text == "🌊 \ufffd!"
    assert text.encode()


async def test_half_a_surrogate_pair_in_a_prompt_is_sent_as_a_sign() -> None:
    chat = client(Body([piece("x", "stop")]))
    assert [d.text async for d in chat.stream([Message("user", "\ud83c")], max_tokens=1)] == ["x"]


async def test_a_missing_done_is_forgiven_after_a_reason_to_end() -> None:
    assert await reply(piece("It lasts."), piece("", "stop")) == "It lasts."
    assert await reply(piece("It lasts."), event("[DONE]")) == "It lasts."


async def test_the_reply_is_read_to_its_end_so_that_the_connection_is_kept() -> None:
    body = Body([piece("x", "stop"), event("[DONE]"), ": bye\n\n"], error=httpx.ReadError("gone"))
    assert [delta.text for delta in await ask(client(body))] == ["x"]
    assert body.sent == 3
    assert body.closed


async def test_a_server_that_stays_after_its_reply_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_client, "LEAVE_S", 0.01)
    assert [delta.text for delta in await ask(client(lambda _: streaming(Endless())))] == ["x"]


@pytest.mark.parametrize(
    ("parts", "error", "kind", "says"),
    [
        ([piece("It ")], None, ModelUnavailable, "in the middle"),
        ([], None, ModelUnavailable, "in the middle"),
        (
            [piece("It ")],
            httpx.RemoteProtocolError("peer closed"),
            ModelUnavailable,
            "cannot be reached: peer closed",
        ),
        ([piece("It ")], httpx.ReadTimeout("slow"), ModelUnavailable, "in time"),
        (
            [event({"error": {"message": "engine died", "code": 500}})],
            None,
            ModelUnavailable,
            "500: engine died",
        ),
        ([event({"error": {"message": "bad input", "code": 400}})], None, ModelRefused, "400: bad input"),
        ([event({"error": {"message": "m", "code": "server_error"}})], None, ModelUnavailable, "500: m"),
        ([event({"error": {"message": "m", "code": None}})], None, ModelUnavailable, "500: m"),
        ([event({"error": "overloaded"})], None, ModelUnavailable, "overloaded"),
        ([event({"object": "error", "message": "gone", "code": 503})], None, ModelUnavailable, "503: gone"),
        ([event("{not json")], None, ModelRefused, "does not answer as an OpenAI-compatible server"),
        ([event([1])], None, ModelRefused, "does not answer as"),
        ([event({"choices": [7]})], None, ModelRefused, "does not answer as"),
    ],
)
async def test_errors_after_the_stream_has_begun(
    parts: list[str], error: Exception | None, kind: type[RagError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        await reply(piece("Well, "), *parts, error=error)


async def test_an_error_that_is_null_is_none() -> None:
    assert await reply(piece("x", "stop", error=None), event("[DONE]")) == "x"


@pytest.mark.parametrize(
    ("status", "message", "needed", "budget"),
    [
        (
            400,
            "This model's maximum context length is 8192 tokens. However, your prompt contains at least 8193 input "
            "tokens, which exceeds this limit even without any output tokens.",
            8193,
            8192,
        ),
        (
            400,
            "The decoder prompt (length 9000) is longer than the maximum model length of 8192. Make sure that ...",
            9000,
            8192,
        ),
        (
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the "
            "messages, 1000 in the completion).",
            5000,
            4096,
        ),
        (400, "the request exceeds the available context size. try increasing the context size", None, None),
        (413, "too many tokens", None, None),
    ],
)
async def test_a_prompt_that_is_too_long(
    status: int, message: str, needed: int | None, budget: int | None
) -> None:
    for body in (
        {"error": {"message": message}},
        {"object": "error", "message": message},
        {"error": message},
    ):
        with pytest.raises(ContextTooLong, match="OPENBOOK_CONTEXT_TOKENS") as caught:
            await ask(client(lambda _, body=body: httpx.Response(status, json=body)))  # type: ignore[misc]
        assert (caught.value.needed, caught.value.budget) == (needed, budget)


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (
            400,
            {"error": {"message": "temperature must be positive"}},
            ModelRefused,
            "temperature.*log may say more",
        ),
        (401, {"error": {"message": "no key"}}, ModelRefused, "401: no key Check OPENBOOK_LLM_API_KEY"),
        (403, {"detail": "forbidden"}, ModelRefused, "403: forbidden Check OPENBOOK_LLM_API_KEY"),
        (404, {"detail": "Not Found"}, ModelRefused, "404: Not Found Check OPENBOOK_LLM_URL; it ends in /v1"),
        (302, {}, ModelRefused, "302"),
        (408, {}, ModelUnavailable, "408"),
        (429, {"error": "busy"}, ModelUnavailable, "429: busy"),
        (500, {"error": {"message": "engine died"}}, ModelUnavailable, "500: engine died"),
        (503, [], ModelUnavailable, "503"),
        (529, {}, ModelUnavailable, "529"),
    ],
)
@pytest.mark.parametrize("where", ["models", "chat"])
async def test_refusals(status: int, body: object, kind: type[RagError], says: str, where: str) -> None:
    response = httpx.Response(status, json=body)
    chat = client(lambda _: response, models=response if where == "models" else MODELS)
    with pytest.raises(kind, match=says) as caught:
        await ask(chat)
    assert caught.value.retryable == (kind is ModelUnavailable)


async def test_a_web_page_instead_of_an_api() -> None:
    page = "<html>\n\n  <h1>It works</h1>" + "x" * 5000
    for chat in (
        client(lambda _: httpx.Response(200, html=page)),
        client(lambda _: httpx.Response(200, html=page), models=httpx.Response(200, html=page)),
        client(lambda _: httpx.Response(200), models={"models": []}),
        client(lambda _: httpx.Response(200), models=[]),
        client(lambda _: httpx.Response(200), models={"data": [{"name": "no id"}]}),
    ):
        with pytest.raises(ModelRefused, match="does not answer as an OpenAI-compatible server"):
            await ask(chat)
    with pytest.raises(ModelRefused, match=r"404: <html> <h1>It works</h1>x+ Check") as caught:
        await ask(client(lambda _: httpx.Response(404, html=page)))
    assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            httpx.ConnectError("All connection attempts failed"),
            ModelUnavailable,
            "cannot be reached: All connection",
        ),
        (httpx.ConnectTimeout("slow"), ModelUnavailable, "OPENBOOK_LLM_TIMEOUT_S"),
        (httpx.ReadTimeout("slow"), ModelUnavailable, "did not answer in time"),
        (httpx.PoolTimeout("full"), ModelUnavailable, "did not answer in time"),
        (httpx.RemoteProtocolError("closed"), ModelUnavailable, "cannot be reached"),
        (httpx.DecodingError("bad gzip"), ModelRefused, "does not answer as"),
        (httpx.InvalidURL("no host"), ModelRefused, "does not answer as"),
    ],
)
async def test_the_way_to_the_server(error: Exception, kind: type[RagError], says: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(kind, match=says) as caught:
        await ask(client(fail))
    assert caught.value.__cause__ is error


async def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.LocalProtocolError("Illegal header value b'Bearer secret\\n'")

    with pytest.raises(ModelRefused, match="OPENBOOK_LLM_API_KEY") as caught:
        await ask(client(fail))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_the_model_is_the_first_or_the_one_that_is_set() -> None:
    body = Body([])
    assert await client(body).model() == ModelInfo("small", 8192)
    assert await client(body, model="large").model() == ModelInfo("large", 131072)
    for data in ([{"id": "m"}], [{"id": "m", "max_model_len": None}]):
        assert await client(body, models={"data": data}, window=4096).model() == ModelInfo("m", 4096)


async def test_a_model_that_is_not_served() -> None:
    with pytest.raises(ModelRefused, match=r"serves small, large, not 'huge'\. Set OPENBOOK_LLM_MODEL"):
        await client(Body([]), model="huge").model()
    with pytest.raises(ModelRefused, match="no model"):
        await client(Body([]), models={"data": []}).model()


async def test_closing_the_stream_lets_go_of_the_server() -> None:
    body = Body([piece("one "), *(piece("more ") for _ in range(100))])
    stream = client(body).stream([Message("user", "?")], max_tokens=1000)
    async with aclosing(stream):
        async for delta in stream:
            assert delta.text == "one "
            break
    assert body.closed
    assert body.sent < 5


async def test_the_address_is_asked_for_every_time() -> None:
    ports = iter([1, 2, 3])
    seen: list[int | None] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/v1/models":
            return httpx.Response(404)
        seen.append(request.url.port)
        return httpx.Response(200, json=MODELS)

    chat = ChatClient(lambda: f"http://model.test:{next(ports)}/v1", transport=httpx.MockTransport(handle))
    await chat.model()
    await chat.model()
    assert seen == [1, 2]
    await asyncio.gather(*(chat.model() for _ in range(9)))
    assert seen == [1, 2, 3]  # who asks at once asks once
    await chat.close()


# --- requests that are passed on ------------------------------------------------------------------------------


async def test_a_request_is_passed_on_and_its_reply_is_as_it_is() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(418, content=b"short and stout", headers={"content-type": "text/tea"})

    body = {"model": "m", "messages": [], "n": 3}
    async with client(answer, api_key="secret").relayed("chat/completions", body) as reply:
        said = b"".join([chunk async for chunk in reply.chunks])
    assert (reply.status, reply.media_type, said) == (418, "text/tea", b"short and stout")
    assert json.loads(seen[0].content) == body
    assert seen[0].headers["authorization"] == "Bearer secret"


async def test_a_key_that_the_model_server_refuses_is_not_the_fault_of_who_asks() -> None:
    with pytest.raises(ModelRefused, match="OPENBOOK_LLM_API_KEY"):
        async with client(lambda _: httpx.Response(401, text="no")).relayed("chat/completions", {}):
            pass


async def test_a_reply_that_breaks_off_is_told() -> None:
    async with client(Body([piece("a")], httpx.ReadError("cut"))).relayed("chat/completions", {}) as reply:
        with pytest.raises(ModelUnavailable, match="cut"):
            async for _ in reply.chunks:
                pass
