"""Embedders and cross-encoders on a server: what is asked of it, and what is made of its failures."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from api import embedder_state
from fake_engine import engine_over, fake_store, ingested
from fakes import FakeEmbedder
from rag.compose import embedder_of, reranker_of
from rag.errors import (
    EmbedderUnavailable,
    FingerprintMismatch,
    ModelRefused,
    RerankerUnavailable,
)
from rag.models import pooling_server
from rag.models.embed_remote import BATCH, RemoteEmbedder
from rag.models.pooling_server import PoolingServer
from rag.models.rerank_remote import RemoteReranker
from rag.question import Question
from rag.settings import load_settings
from rag.store.edge import EdgeStore
from service_in_process import serving

FAKE = FakeEmbedder()
MODEL = {"id": "org/words-v1", "owned_by": "vllm", "max_model_len": 8192}


class Server:
    """As vLLM answers; ``broken`` is what it does instead."""

    def __init__(self, *, base64: bool = True) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.base64, self.dimension = base64, FAKE.dimension
        self.broken: Callable[[httpx.Request], httpx.Response] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.broken:
            return self.broken(request)
        body: Any = json.loads(request.content) if request.content else None
        self.asked.append((request.url.path, body))
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [MODEL]})
        if request.url.path == "/v1/rerank":
            scores = [float(len(text)) for text in body["documents"]]
            ranked = sorted(range(len(scores)), key=lambda at: -scores[at])
            rows = [{"index": at, "relevance_score": scores[at]} for at in ranked]
            return httpx.Response(200, json={"results": rows})
        made = [{"index": at, "embedding": self._told(text)} for at, text in enumerate(body["input"])]
        return httpx.Response(200, json={"data": made[::-1]})

    def _told(self, text: str) -> str | list[float]:
        vector = (3 * FAKE.embed_query(text))[: self.dimension]
        return base64.b64encode(vector.tobytes()).decode() if self.base64 else vector.tolist()


@pytest.fixture
def server() -> Server:
    return Server()


def pooling(server: Server, down: type[EmbedderUnavailable | RerankerUnavailable]) -> PoolingServer:
    setting = "OPENBOOK_EMBED" if down is EmbedderUnavailable else "OPENBOOK_RERANK"
    transport = httpx.MockTransport(server)
    return PoolingServer("http://h:1/v1", None, "key", setting=setting, down=down, transport=transport)


@pytest.fixture
def embedder(server: Server) -> Iterator[RemoteEmbedder]:
    made = RemoteEmbedder(pooling(server, EmbedderUnavailable), "query: ")
    yield made
    made.close()


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("no route, and the key", request=request)


@pytest.mark.parametrize("as_base64", [True, False])
def test_vectors_come_in_order_and_of_length_one(as_base64: bool) -> None:
    server = Server(base64=as_base64)
    embedder = RemoteEmbedder(pooling(server, EmbedderUnavailable), "query: ")
    texts = [f"word{number} of many" for number in range(BATCH + 5)]
    assert (embedder.name, embedder.dimension, embedder.max_tokens) == ("words-v1", FAKE.dimension, 512)
    np.testing.assert_allclose(embedder.embed(texts), FAKE.embed(texts), atol=1e-6)
    np.testing.assert_allclose(embedder.embed_query("a b"), FAKE.embed_query("query: a b"), atol=1e-6)
    assert embedder.embed([]).shape == (0, FAKE.dimension)
    sizes = [len(body["input"]) for path, body in server.asked if path == "/v1/embeddings"]
    assert sizes == [1, BATCH, 5, 1]
    assert all(body["model"] == "org/words-v1" for _, body in server.asked if body)
    assert all(body["truncate_prompt_tokens"] == -1 for _, body in server.asked if body)


def test_vectors_of_another_model_never_meet_these(server: Server, embedder: RemoteEmbedder) -> None:
    embedder.load()
    server.dimension = 32
    with pytest.raises(ModelRefused, match="32 dimensions now and gave 64 before"):
        embedder.embed(["a"])


@pytest.mark.parametrize(
    ("broken", "kind", "told"),
    [
        (unreachable, EmbedderUnavailable, "cannot be reached: ConnectError"),
        (lambda _: httpx.Response(503, text="loading"), EmbedderUnavailable, "answered 503: loading"),
        (lambda _: httpx.Response(401, text="no key"), ModelRefused, "answered 401: no key"),
        (lambda _: httpx.Response(200, text="<html>"), ModelRefused, "answered 200"),
        (lambda _: httpx.Response(200, json={"data": []}), ModelRefused, "gives 0 vectors for 1"),
        (lambda _: httpx.Response(200, json={"data": [{}]}), ModelRefused, "otherwise than OpenAI"),
    ],
)
def test_failures_say_where_and_what(
    server: Server, embedder: RemoteEmbedder, broken: Any, kind: type[Exception], told: str
) -> None:
    embedder.load()
    server.broken = broken
    with pytest.raises(kind, match=told) as raised:
        embedder.embed_query("a")
    assert "OPENBOOK_EMBED_URL" in str(raised.value)
    assert "key" not in told or "the key" not in str(raised.value)


def test_one_that_was_not_reached_is_left_alone_a_moment(
    server: Server, embedder: RemoteEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder.load()
    server.broken = unreachable
    with pytest.raises(EmbedderUnavailable):
        embedder.embed_query("a")
    server.broken = None
    with pytest.raises(EmbedderUnavailable):
        embedder.embed_query("a")
    monkeypatch.setattr(pooling_server, "RETRY_S", 0.0)
    assert embedder.embed_query("a").shape == (FAKE.dimension,)


def test_a_check_asks_anew_and_keeps_no_request_from_trying(server: Server, embedder: RemoteEmbedder) -> None:
    embedder.load()
    embedder.check()
    server.broken = unreachable
    with pytest.raises(EmbedderUnavailable, match="cannot be reached: ConnectError"):
        embedder.check()
    server.broken = None
    assert embedder.embed_query("a").shape == (FAKE.dimension,)
    server.broken = unreachable
    with pytest.raises(EmbedderUnavailable):
        embedder.embed_query("a")
    server.broken = None
    embedder.check()


@pytest.mark.parametrize(
    ("broken", "kind", "told"),
    [
        (lambda _: httpx.Response(200, json={"data": [{"id": "x"}]}), ModelRefused, "does not serve org/words-v1"),
        (lambda _: httpx.Response(200, json=[]), ModelRefused, "does not list its models"),
        (lambda _: httpx.Response(503), EmbedderUnavailable, "answered 503"),
    ],
)  # fmt: skip
def test_a_check_tells_what_a_question_would_meet(
    server: Server, embedder: RemoteEmbedder, broken: Any, kind: type[Exception], told: str
) -> None:
    embedder.load()
    server.broken = broken
    with pytest.raises(kind, match=told):
        embedder.check()


async def test_the_service_is_not_ready_while_its_embedder_is_down_and_ready_when_it_is_back(
    tmp_path: Path, server: Server, embedder: RemoteEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def broken(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return unreachable(request)

    store = fake_store(tmp_path)
    engine = replace(engine_over(store, tmp_path), preload=embedder.load, check_embedder=embedder.check)
    async with (
        serving(engine) as app,
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
    ):
        for _ in range(500):  # it is loaded beside
            if (first := await client.get("/readyz")).status_code == 200:
                break
            await asyncio.sleep(0.01)
        assert first.status_code == 200
        monkeypatch.setattr(embedder_state, "KEPT_S", 0.0)
        server.broken = broken
        down = await client.get("/readyz")
        assert down.status_code == 503
        check = down.json()["checks"]["embedder"]
        assert check["ok"] is False
        assert check["detail"].startswith("The server at http://h:1/v1 cannot be reached")
        monkeypatch.setattr(embedder_state, "KEPT_S", 60.0)
        asked.clear()
        status = (await client.get("/v1/status")).json()
        assert status["embedder_problem"] == check["detail"]
        many = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        assert {each.status_code for each in many} == {503}
        assert asked == []  # what was told is told again
        monkeypatch.setattr(embedder_state, "KEPT_S", 0.0)
        server.broken = None
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/v1/status")).json()["embedder_problem"] == ""
    engine.rag.conversations.close()
    store.close()


async def test_one_that_says_nothing_is_asked_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, silent = [], threading.Event()

    def check() -> None:
        asked.append(1)
        silent.wait(30)

    monkeypatch.setattr(embedder_state, "PATIENCE_S", 0.05)
    state = embedder_state.EmbedderState(check)
    told = await asyncio.gather(*(state.why_down() for _ in range(50)))
    assert set(told) == {"It does not answer within 0.05 s."}
    assert len(asked) == 1
    silent.set()
    await state.close()
    assert await state.why_down() == ""


def test_a_collection_is_held_to_name_and_dimension(tmp_path: Path, embedder: RemoteEmbedder) -> None:
    store = EdgeStore(tmp_path, embedder=embedder.name, dimension=embedder.dimension)
    store.open("c", create=True)
    store.close()
    other = EdgeStore(tmp_path, embedder="another", dimension=embedder.dimension)
    with pytest.raises(FingerprintMismatch, match="words-v1"):
        other.open("c")
    other.close()


def test_passages_are_scored_in_their_order(server: Server) -> None:
    reranker = RemoteReranker(pooling(server, RerankerUnavailable))
    assert reranker.score("q", ["aa", "a", "aaa"]) == [2.0, 1.0, 3.0]
    assert reranker.score("q", []) == []
    assert reranker.name == "words-v1"
    server.broken = lambda _: httpx.Response(200, json={"results": [{"index": 0, "relevance_score": 1}]})
    with pytest.raises(ModelRefused, match="otherwise than Jina"):
        reranker.score("q", ["a", "b"])


async def test_without_its_reranker_a_question_is_answered_and_the_receipt_says_so(
    tmp_path: Path, server: Server
) -> None:
    store = fake_store(tmp_path)
    engine = engine_over(store, tmp_path)
    (tmp_path / "a.txt").write_text("The battery of the gauge lasts 400 days.\n")
    ingested(engine, tmp_path / "a.txt")
    engine.rag.reranker = RemoteReranker(pooling(server, RerankerUnavailable))
    asked = Question("How long does the battery last?")
    assert (await engine.rag.answer(asked)).receipt.warnings == ()
    server.broken = unreachable
    answer = await engine.rag.answer(asked)
    assert answer.answerable
    (note,) = answer.receipt.warnings
    assert note.startswith("What was found was not reranked: The server at http://h:1/v1 cannot be reached")
    engine.rag.conversations.close()
    store.close()


def test_settings_choose_them() -> None:
    made = load_settings(embed_url="http://127.0.0.1:1/v1", rerank_url="http://127.0.0.1:1/v1")
    assert isinstance(embedder_of(made), RemoteEmbedder)
    assert isinstance(reranker_of(made, ExitStack()), RemoteReranker)
