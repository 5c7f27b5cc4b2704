"""The model server alone: salts, timings, and prompts of a length, against a server that lives in a function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from evals.prefill.server import Raw, Salted, chat
from evals.prefill.sweep import heeds_salts, row, sweep
from evals.prefill.text import vocabulary, words
from fakes import FakeCounter
from rag.errors import ModelRefused, ModelUnavailable
from rag.models.tokens import Estimate
from rag.models.vllm_client import ChatClient
from rag.ports import Message

BLOCK = 16
TEMPLATE = ["<template>"] * 5


def quiet(_what: str, _total: int) -> Callable[[int], None]:
    return lambda _count: None


class PrefixCache:
    """Answers one word, and counts words as tokens; whole blocks of them are cached under the salt."""

    def __init__(self) -> None:
        self.blocks: set[tuple[str, ...]] = set()
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "m", "max_model_len": 4096}]})
        body = json.loads(request.content)
        self.bodies.append(body)
        if set("@/\\") & set(body["cache_salt"]):  # as vLLM 0.32
            return httpx.Response(400, text="cache_salt")
        tokens = [*TEMPLATE, *" ".join(m["content"] for m in body["messages"]).split()]
        keys = list(self._keys(body["cache_salt"], tokens))
        cached = BLOCK * next((n for n, key in enumerate(keys) if key not in self.blocks), len(keys))
        self.blocks |= set(keys)
        usage = {
            "prompt_tokens": len(tokens),
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": min(cached, len(tokens) - 1)},
        }
        chunks = [
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "Yes"}, "finish_reason": "length"}]},
            {"choices": [], "usage": usage},
        ]
        lines = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        return httpx.Response(
            200, text=f"{lines}data: [DONE]\n\n", headers={"content-type": "text/event-stream"}
        )

    @staticmethod
    def _keys(salt: str, tokens: list[str]) -> Iterator[tuple[str, ...]]:
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            yield (salt, *tokens[:end])


def raw_to(handler: Callable[[httpx.Request], httpx.Response]) -> Raw:
    return Raw(lambda: "http://server/v1", transport=httpx.MockTransport(handler))


async def test_another_salt_finds_nothing_cached() -> None:
    server = PrefixCache()
    raw, text = raw_to(server), words(100, "text", ["a", "b"])
    first, again, salted = [await raw.ask("/chat/completions", chat("m", text, s)) for s in ("x", "x", "y")]
    assert (first.prompt, first.cached, first.new) == (105, 0, 105)
    assert (again.cached, again.new) == (96, 9)
    assert salted.cached == 0
    assert 0 < first.ttfr <= first.ttft


async def test_the_salt_is_put_into_what_a_client_sends_and_the_request_is_kept() -> None:
    server = PrefixCache()
    salted = Salted("pepper", httpx.MockTransport(server))
    client = ChatClient(lambda: "http://server/v1", api_key="key", transport=salted)
    messages = [Message("user", words(40, "text", ["a", "b"]))]
    deltas = [d async for d in client.stream(messages, max_tokens=1)]
    assert deltas[-1].usage
    assert deltas[-1].usage.cached == 0
    assert server.bodies[0]["cache_salt"] == "pepper"
    assert salted.sent == ("/chat/completions", server.bodies[0])
    replayed = await raw_to(server).ask(*salted.sent)
    assert replayed.cached == 32
    await client.close()


async def test_what_a_server_refuses_or_leaves_out_is_told() -> None:
    with pytest.raises(ModelRefused, match="answered 400: no such field"):
        await raw_to(lambda _: httpx.Response(400, text="no such field")).ask("/completions", {})
    with pytest.raises(ModelRefused, match="no count of tokens"):
        await raw_to(lambda _: httpx.Response(200, text='data: {"choices": [{}]}\n\n')).ask(
            "/completions", {}
        )

    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ModelUnavailable, match="cannot be reached"):
        await raw_to(down).ask("/completions", {})


def test_text_has_as_many_tokens_as_are_asked_for() -> None:
    among = vocabulary(FakeCounter())
    assert len(among) > 50
    text = words(333, "seed", among)
    assert FakeCounter().count([text]) == [333]
    assert words(333, "seed", among) == text != words(333, "other", among)
    assert vocabulary(Estimate())  # nothing is one token there


async def test_the_sweep_measures_cold_half_cached_and_warm_prompts() -> None:
    server = PrefixCache()
    found = await sweep(raw_to(server), "m", FakeCounter(), [64, 128], 2, 0, quiet)
    assert list(found)[:3] == ["64/cold/0", "64/warm/0", "64/partial/0"]
    assert len(found) == 12
    assert {len(TEMPLATE) + len(b["messages"][0]["content"].split()) for b in server.bodies[1:]} == {64, 128}
    assert found["128/cold/1"]["pp128: cached share"] == (0, 128)
    assert found["128/warm/1"]["pp128 again: cached share"] == (127, 128)
    assert found["128/partial/1"]["pp64 @ d64: cached share"] == (64, 128)
    assert found["128/partial/1"]["pp64 @ d64: t/s"][0] == 64
    assert "pp128 again: t/s" not in found["128/warm/1"]
    assert row(5, "partial") == "pp3 @ d2"


async def test_a_second_sweep_finds_nothing_of_the_first() -> None:
    server = PrefixCache()
    for _ in range(2):
        found = await sweep(raw_to(server), "m", FakeCounter(), [64], 1, 0, quiet)
        assert found["64/cold/0"]["pp64: cached share"] == (0, 64)


@pytest.mark.parametrize("heeds", [True, False])
async def test_a_server_that_ignores_salts_is_found_out(heeds: bool) -> None:
    class Server(PrefixCache):
        def _keys(self, salt: str, tokens: list[str]) -> Iterator[tuple[str, ...]]:  # type: ignore[override]
            return PrefixCache._keys(salt if heeds else "", tokens)

    assert await heeds_salts(raw_to(Server()), "m", FakeCounter(), 64) is heeds
