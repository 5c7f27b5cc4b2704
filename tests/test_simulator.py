"""The simulated server as its clients see it: openbook's own, and whoever reads vLLM's usage, metrics and errors."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from command import in_process
from conftest import ROOT
from evals.simulator.engine import Engine
from evals.simulator.model import Model
from evals.simulator.server import Simulator
from rag.errors import BadRequest, ContextTooLong, ModelNotInstalled
from rag.models.vllm_client import ChatClient
from rag.ports import Message
from rag.prefix_cache import PrefixCache
from rag.prompt import NOT_FOUND
from service import free_port

SMOL = ROOT / ".models" / "SmolLM2-135M-Instruct"
BLOCK, WINDOW = 16, 2048
PROMPT = list(range(1000, 1100))


class Cost:
    def seconds(self, new: int, cached: int) -> float:
        return 1e-5 * new


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(SMOL)


@asynccontextmanager
async def served(model: Model, decode_s: float = 1e-4, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    simulator = Simulator(Engine(PrefixCache(BLOCK, 200), Cost(), decode_s), model, "sim", WINDOW, **more)
    app = simulator.app()
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://simulator") as client:
            client.simulator = simulator  # type: ignore[attr-defined]
            yield client


async def complete(client: httpx.AsyncClient, **body: Any) -> Any:
    reply = await client.post("/v1/completions", json={"prompt": PROMPT, "max_tokens": 1} | body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def test_usage_tells_what_was_cached(model: Model) -> None:
    async with served(model) as client:
        first = await complete(client)
        again = await complete(client)
        salted = await complete(client, cache_salt="mine")
    assert first["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 1,
        "total_tokens": 101,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert again["usage"]["prompt_tokens_details"] == {"cached_tokens": 96}
    assert salted["usage"]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert (again["object"], again["choices"][0]["finish_reason"]) == ("text_completion", "length")


async def test_an_answer_can_be_given(model: Model) -> None:
    async with served(model) as client:
        told = await complete(client, max_tokens=9, reply_ids=[5, 6, 7], return_token_ids=True)
    (choice,) = told["choices"]
    assert (choice["token_ids"], choice["finish_reason"]) == ([5, 6, 7], "stop")


async def test_the_first_sentence_of_the_first_document_is_quoted(model: Model) -> None:
    documents = (
        "<document [1] notes.md>\nThe pump weighs 14 kg. It is red.\n</document>\n\nQuestion: How heavy?"
    )
    async with served(model) as client:
        text = (await complete(client, prompt=documents, max_tokens=100))["choices"][0]
        ids = (await complete(client, prompt=model.encode(documents), max_tokens=100))["choices"][0]
        none = (await complete(client, prompt="How heavy?", max_tokens=100))["choices"][0]
    assert (text["text"], text["finish_reason"]) == ("The pump weighs 14 kg. [1]", "stop")
    assert ids["text"] == text["text"]
    assert none["text"] == NOT_FOUND


async def test_chat_streams_with_usage_in_every_piece(model: Model) -> None:
    body = {
        "messages": [{"role": "user", "content": "How heavy?"}],
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    async with served(model) as client:
        pieces = events((await client.post("/v1/chat/completions", json=body)).text)
    assert pieces[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(p["choices"][0]["delta"]["content"] for p in pieces[:-1]) == NOT_FOUND
    assert pieces[-1]["choices"] == []
    assert pieces[-2]["choices"][0]["finish_reason"] == "stop"
    counted = [p["usage"]["completion_tokens"] for p in pieces[1:-1]]
    assert counted == list(range(1, len(counted) + 1))


async def test_without_options_a_stream_has_no_usage(model: Model) -> None:
    async with served(model) as client:
        reply = await client.post("/v1/completions", json={"prompt": "Hi", "stream": True, "max_tokens": 3})
    assert [("usage" in piece, len(piece["choices"])) for piece in events(reply.text)] == [(False, 1)] * 3


async def test_tokenize_counts_what_chat_sends(model: Model) -> None:
    said = [{"role": "user", "content": "How heavy?"}]
    async with served(model) as client:
        rendered = (await client.post("/tokenize", json={"messages": said})).json()
        text = (await client.post("/tokenize", json={"prompt": "How heavy?"})).json()
        asked = (await client.post("/v1/chat/completions", json={"messages": said})).json()
    assert rendered["count"] == len(rendered["tokens"]) == asked["usage"]["prompt_tokens"]
    assert rendered["max_model_len"] == WINDOW
    assert model.decode(text["tokens"]) == "How heavy?"


async def test_a_prompt_that_is_too_long_is_refused_in_vllm_s_words(model: Model) -> None:
    async with served(model) as client:
        long = await client.post("/v1/completions", json={"prompt": [5] * (WINDOW + 1)})
        full = await client.post("/v1/completions", json={"prompt": [5] * WINDOW})
        tight = await client.post("/v1/completions", json={"prompt": [5] * (WINDOW - 1), "max_tokens": 9})
    assert long.status_code == full.status_code == 400
    assert long.json()["error"]["message"].startswith(
        "This model's maximum context length is 2048 tokens. However, your prompt contains 2049 input tokens"
    )
    assert tight.json()["usage"]["completion_tokens"] == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        ("completions", {"prompt": []}, 400, "prompt"),
        ("completions", {"prompt": "x", "max_tokens": 0}, 400, "max_tokens: Input should be greater"),
        ("completions", {"prompt": "x", "model": "other"}, 404, "`other` does not exist"),
        ("chat/completions", {"messages": [{"role": "user"}]}, 400, "chat template refuses"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    model: Model, path: str, body: Any, status: int, part: str
) -> None:
    async with served(model) as client:
        reply = await client.post(f"/v1/{path}", json=body)
    assert reply.status_code == status
    assert part in reply.json()["error"]["message"]


async def test_metrics_tell_the_cache_and_the_sources(model: Model) -> None:
    async with served(model) as client:
        await complete(client)
        await complete(client)
        told = (await client.get("/metrics")).text
        assert (await client.get("/health")).status_code == 200
    assert 'block_size="16"' in told
    assert 'num_gpu_blocks="200"' in told
    assert (
        'vllm:prompt_tokens_by_source_total{engine="0",model_name="sim",source="local_cache_hit"} 96' in told
    )
    assert (
        'vllm:prompt_tokens_by_source_total{engine="0",model_name="sim",source="local_compute"} 104' in told
    )


async def test_openbook_s_client_is_content(model: Model) -> None:
    async with served(model) as client:
        asking = ChatClient(lambda: "http://simulator/v1", transport=client._transport)
        try:
            assert (await asking.model()).window == WINDOW
            messages = [Message("user", "<document [3] a.md>\nAll is well.\n</document>\n\nQuestion: How?")]
            deltas = [d async for d in asking.stream(messages, max_tokens=50)]
            with pytest.raises(ContextTooLong) as refused:
                await anext(asking.stream([Message("user", "well " * WINDOW)], max_tokens=5))
        finally:
            await asking.close()
    assert "".join(delta.text for delta in deltas) == "All is well. [3]"
    assert deltas[-1].usage is not None
    assert deltas[-1].usage.cached == 0
    assert (refused.value.budget, (refused.value.needed or 0) > WINDOW) == (WINDOW, True)


async def test_times_pass_as_fast_as_asked(model: Model) -> None:
    async with served(model, decode_s=1.0, speed=100) as client:
        began = asyncio.get_running_loop().time()
        await complete(client, max_tokens=11, reply_ids=[5] * 11)
        assert 0.1 <= asyncio.get_running_loop().time() - began < 1


@pytest.mark.parametrize("stream", [False, True])
async def test_who_leaves_frees_the_engine(model: Model, stream: bool) -> None:
    async with served(model, decode_s=10.0) as client:
        engine = client.simulator.engine  # type: ignore[attr-defined]
        body = {"max_tokens": 9, "reply_ids": [5] * 9, "stream": stream}
        task = asyncio.create_task(complete(client, **body))
        await _until(lambda: bool(engine.running))
        task.cancel()
        await _until(lambda: not engine.running)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotInstalled, match=str(tmp_path)):
        Model(tmp_path)


def test_a_template_that_refuses_says_so(model: Model) -> None:
    with pytest.raises(BadRequest, match="chat template refuses"):
        model.chat([{"role": "user"}])


@pytest.mark.process
def test_the_command_serves_until_it_is_interrupted(openbook_command: str) -> None:
    port = str(free_port())
    command = [openbook_command, "simulate", "--port", port, "--model", str(SMOL), "--speed", "50"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert f"http://127.0.0.1:{port}/v1" in process.stderr.readline()
            # It listens when it says so; what comes before it answers waits.
            served = httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=60, trust_env=False).json()
            assert served["data"][0]["max_model_len"] == 131072
            other = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (other.returncode, port in other.stderr) == (3, True)
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "GPT-7"], "There is no preset GPT-7"),
        (["--capacity-tokens", "1000"], "cannot hold a prompt of 131072"),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    done = in_process(monkeypatch, capsys)("simulate", *arguments)
    assert (done.code, said in done.err) == (2, True)


def test_presets_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    listed = in_process(monkeypatch, capsys)("simulate", "--preset", "list")
    assert "Qwen3.6-35B-A3B NVFP4 (vLLM 0.26)" in listed.out
