"""Pinning and warm-up through the service and the command line, and what the service warms unasked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

import api.warm_cli
import ingest.cli
from api import warmer
from api.app import create_app
from api.warmer import Warmer
from command import Ran, in_process
from fake_engine import REPLY, engine_over, fake_store, ingested, opener
from fakes import CachingGenerator
from rag.admission import Ticket
from rag.children import Children
from rag.compose import Engine
from rag.errors import ModelUnavailable
from rag.models.vllm_process import VllmStatus
from rag.store.edge import EdgeStore
from rest import OWNER

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

BLOCK = 4  # tokens of a block of the cache
ASKED = {"question": "How long does the battery last?"}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "rules").mkdir(parents=True)
    (folder / "gauge.md").write_text("# Gauge\n\nThe battery of the gauge lasts 400 days.\n")
    (folder / "rules" / "style.md").write_text("# Style\n\nSay metres, not feet.\n")
    return folder


@pytest.fixture
def store(tmp_path: Path, files: Path) -> Iterator[EdgeStore]:
    store = fake_store(tmp_path / "data")
    ingested(engine_over(store, tmp_path / "data"), files)
    yield store
    store.close()


@pytest.fixture
def model() -> CachingGenerator:
    return CachingGenerator(REPLY)


@pytest.fixture
def engine(store: EdgeStore, tmp_path: Path, model: CachingGenerator) -> Engine:
    return engine_over(store, tmp_path / "data", model)


@asynccontextmanager
async def serving(engine: Engine, *, warm_up: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(lambda: nullcontext(engine), warm_up=warm_up)

    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for tells nobody)
            await asyncio.sleep(0.02)


# --- over REST --------------------------------------------------------------------------------------------------


async def test_documents_are_pinned_listed_and_unpinned(engine: Engine, files: Path) -> None:
    async with serving(engine) as client:
        body = {"names": ["rules"], "folder": str(files), "collection": "default"}
        pinned = (await client.post("/v1/pinned", json=body, headers=OWNER)).json()
        assert [pin["source"] for pin in pinned["pinned"]] == [(files / "rules" / "style.md").as_uri()]
        assert (await client.get("/v1/pinned")).json() == pinned
        answer = (await client.post("/v1/answer", json=ASKED)).json()
        assert answer["receipt"]["read"][0]["title"] == "Style"
        assert (await client.get("/v1/pinned?collection=other")).json()["pinned"] == []

        engine.rag.store.open("default").remove([pinned["pinned"][0]["id"]])
        gone = await client.request("DELETE", "/v1/pinned", json=body, headers=OWNER)
        assert (gone.status_code, gone.json()["pinned"]) == (200, [])
        for method, sent, status in (
            ("POST", body | {"names": ["nothing.md"]}, 404),
            ("DELETE", body, 404),
            ("DELETE", body | {"names": []}, 400),
            ("POST", body | {"names": []}, 422),
            ("POST", body | {"collection": "nowhere"}, 404),
        ):
            assert (
                await client.request(method, "/v1/pinned", json=sent, headers=OWNER)
            ).status_code == status
            assert (await client.request(method, "/v1/pinned", json=sent)).status_code == 401


async def test_warm_up_is_asked_for_and_tells_each_step(engine: Engine, model: CachingGenerator) -> None:
    async with serving(engine) as client:
        assert (await client.post("/v1/warm", json={})).status_code == 401
        body = {"collection": "default", "questions": [ASKED["question"]]}
        async with aconnect_sse(client, "POST", "/v1/warm", json=body, headers=OWNER) as source:
            events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
        assert [name for name, _ in events] == ["warmed", "warmed", "warmed", "report"]
        assert events[-1][1]["warmed"] == [step for _, step in events[:-1]]
        status = (await client.get("/v1/status")).json()
        assert status["warm_tokens"] == len(model.ids[-1]) // BLOCK * BLOCK > 0
        usage = (await client.post("/v1/answer", json=ASKED)).json()["receipt"]["usage"]
        assert usage["cached"] == status["warm_tokens"]
        missing = {"collection": "nowhere"}
        async with aconnect_sse(client, "POST", "/v1/warm", json=missing, headers=OWNER) as source:
            *_, last = [event async for event in source.aiter_sse()]
        assert (last.event, json.loads(last.data)["code"]) == ("error", "CollectionNotFound")


# --- unasked ----------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmer, "LOOK_S", 0.02)
    monkeypatch.setattr(warmer, "IDLE_S", 0.2)


@pytest.mark.usefixtures("quick")
async def test_the_service_warms_at_its_start_and_when_a_collection_changes(
    engine: Engine, model: CachingGenerator, files: Path
) -> None:
    async with serving(engine, warm_up=True) as client:
        await until(lambda: len(model.ids) == 2)
        body = {"names": ["gauge.md"], "folder": str(files)}
        await client.post("/v1/pinned", json=body, headers=OWNER)
        (files / "later.md").write_text("# Later\n\nThe cable is 12 m long.\n")
        job = await client.post("/v1/jobs", json={"paths": [str(files)]}, headers=OWNER)
        assert job.status_code == 202
        (text,) = engine.rag.tokens.encode(["The cable is 12 m long."]) or []
        await until(lambda: any(str(text)[1:-1] in str(prompt) for prompt in model.ids))


async def test_what_is_not_wanted_is_not_warmed(engine: Engine, model: CachingGenerator) -> None:
    async with serving(engine):
        await asyncio.sleep(0.1)
    assert model.ids == []


@pytest.mark.usefixtures("quick")
async def test_what_others_have_displaced_is_warmed_again_when_nobody_asks(
    engine: Engine, model: CachingGenerator
) -> None:
    running = asyncio.create_task((beside := Warmer(engine, automatic=True)).run())
    try:
        await until(lambda: len(model.ids) == 2)
        warm = beside.warm_up.resident
        await asyncio.sleep(0.5)
        assert len(model.ids) == 2
        engine.rag.serving.residency.forget()
        assert beside.warm_up.resident is None
        with engine.rag.serving.gate.entered(Ticket()):
            await asyncio.sleep(0.5)
            assert len(model.ids) == 2  # somebody asks
        await until(lambda: len(model.ids) == 4)
        await until(lambda: beside.warm_up.resident == warm)
    finally:
        running.cancel()
        await asyncio.wait([running])


class Server:
    """A managed model server that can be restarted."""

    status = VllmStatus("ready", "", 1.0, 1, 0, "http://127.0.0.1:1/v1")


@pytest.mark.usefixtures("quick")
async def test_a_model_server_that_was_started_again_is_warmed_once_it_is_ready(
    engine: Engine, model: CachingGenerator
) -> None:
    server: Any = Server()
    running = asyncio.create_task(
        Warmer(replace(engine, children=Children({"answer": server})), automatic=True).run()
    )
    try:
        await until(lambda: len(model.ids) == 2)
        model.error = ModelUnavailable("It starts.")
        server.status = replace(server.status, restarts=1)
        await asyncio.sleep(0.2)
        assert len(model.ids) == 2
        model.error = None
        await until(lambda: len(model.ids) == 4)
    finally:
        running.cancel()
        await asyncio.wait([running])


# --- on the command line ----------------------------------------------------------------------------------------


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    store: EdgeStore,
    tmp_path: Path,
    model: CachingGenerator,
    files: Path,
) -> Callable[..., Ran]:
    store.close()
    monkeypatch.setenv("OPENBOOK_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(files)
    for module in (api.warm_cli, ingest.cli):
        monkeypatch.setattr(module, "open_rag", opener(model))
    return in_process(monkeypatch, capsys)


def test_pin_and_unpin(run: Callable[..., Ran]) -> None:
    assert run("pin", "--list").out == "0 documents are pinned in 'default'\n"
    assert run("pin", "rules/style.md").out == "rules/style.md\n1 documents are pinned in 'default'\n"
    (pinned,) = run("pin", "--list", "--json").json["pinned"]
    assert pinned["source"].endswith("/rules/style.md")
    assert len(run("pin", ".", "--json").json["pinned"]) == 2
    assert len(run("unpin", "gauge.md", "--json").json["pinned"]) == 1
    assert run("unpin", "--all").out == "0 documents are pinned in 'default'\n"
    for arguments in (
        ["pin"],
        ["pin", "x", "--list"],
        ["pin", "nothing.md"],
        ["unpin"],
        ["unpin", "gauge.md"],
    ):
        assert run(*arguments).code == 2


def test_warm(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran = run("warm")
    assert ran.code == 3
    assert "openbook serve" in ran.err
    monkeypatch.setenv("OPENBOOK_LLM_URL", "http://127.0.0.1:9/v1")
    questions = tmp_path / "questions.txt"
    questions.write_text("How long does the battery last?\n\n")
    instructions, every, asked = run("warm", "--questions", str(questions), "--json").json["warmed"]
    assert instructions["new"] > 0
    assert every["new"] > 0
    assert (asked["what"], asked["new"]) == ("the question 'How long does the battery last?'", 0)
    ran = run("warm", "-c", "default")
    assert "every question of default: " in ran.out
    assert run("warm", "-c", "nowhere").code == 2
    assert run("warm", "--questions", str(tmp_path)).code == 2
