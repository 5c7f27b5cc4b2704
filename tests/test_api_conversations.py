"""Conversations over REST, on an engine of fakes: make one, go on with it, look at it, delete it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from fake_engine import REPLY, fake_engine, ingested
from fakes import FakeGenerator
from rag import wire
from rag.compose import Engine
from rag.conversations import Transcript
from rag.ports import Delta, Message
from rag.question import GREEDY, Sampling
from rest import OWNER, problem

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds

ASKED = {"question": "How long does the battery last?"}


class Waiting(FakeGenerator):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__(REPLY)
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.talking = asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        async for delta in super().stream(messages, max_tokens=max_tokens, sampling=sampling):
            yield delta
            self.talking.set()
            await self.go_on.wait()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "gauge.md").write_text("# Gauge\n\nThe battery of the gauge lasts 400 days.\n")
    with fake_engine(tmp_path / "data", Waiting()) as engine:
        ingested(engine, tmp_path / "gauge.md")
        yield engine


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with reached(engine) as client:
        yield client


@asynccontextmanager
async def reached(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(lambda: nullcontext(engine))
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


async def begun(client: httpx.AsyncClient) -> str:
    made = await client.post("/v1/conversations", json={})
    assert made.status_code == 201
    id_ = made.json()["id"]
    assert made.headers["location"] == f"/v1/conversations/{id_}"
    return str(id_)


async def test_turns_are_kept_with_their_answers(engine: Engine, client: httpx.AsyncClient) -> None:
    id_ = await begun(client)
    first = (await client.post("/v1/answer", json=ASKED | {"conversation": id_})).json()
    second = (
        await client.post("/v1/answer", json={"question": "And the gauge?", "conversation": id_})
    ).json()
    assert second["citations"][0]["quote"] == first["citations"][0]["quote"]
    shown = await client.get(f"/v1/conversations/{id_}")
    told = wire.load(Transcript, shown.json())
    assert [wire.dump(turn.answer) for turn in told.turns] == [first, second]
    assert told.turns[1].turn.searched_for == "How long does the battery last? 400 And the gauge?"
    assert (told.conversation.turns, told.conversation.title) == (2, ASKED["question"])
    assert isinstance(engine.rag.generator, FakeGenerator)
    one, other = engine.rag.generator.sent
    assert list(other[: len(one)]) == list(one)


async def test_a_stream_tells_what_was_searched_for(client: httpx.AsyncClient) -> None:
    id_ = await begun(client)
    for question, searched_for in (
        (ASKED["question"], ""),
        ("Why?", "How long does the battery last? 400 Why?"),
    ):
        body = {"question": question, "conversation": id_, "stream": True}
        response = await client.post("/v1/answer", json=body)
        first = next(line for line in response.text.splitlines() if line.startswith("data:"))
        assert json.loads(first[5:])["searched_for"] == (searched_for or question)
    assert len((await client.get(f"/v1/conversations/{id_}")).json()["turns"]) == 2


async def test_the_list_is_the_owners_and_an_id_opens_its_conversation(client: httpx.AsyncClient) -> None:
    id_ = await begun(client)
    assert (await client.get("/v1/conversations")).status_code == 401
    assert (await client.get("/v1/conversations", headers={"Authorization": "Bearer no"})).status_code == 401
    listed = (await client.get("/v1/conversations", headers=OWNER)).json()
    assert [each["id"] for each in listed["conversations"]] == [id_]
    assert (await client.get(f"/v1/conversations/{id_}")).status_code == 200


async def test_a_deleted_one_is_gone(client: httpx.AsyncClient) -> None:
    id_ = await begun(client)
    assert (await client.delete(f"/v1/conversations/{id_}")).status_code == 204
    problem(await client.delete(f"/v1/conversations/{id_}"), 404, "ConversationNotFound")
    problem(await client.get(f"/v1/conversations/{id_}"), 404, "ConversationNotFound")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("id_", ["", "nope", "0" * 32, "x" * 10_000, "é", "' OR 1=1"])
async def test_an_unknown_id_is_404_with_the_way_out(
    client: httpx.AsyncClient, id_: str, stream: bool
) -> None:
    body = ASKED | {"conversation": id_, "stream": stream}
    response = await client.post("/v1/answer", json=body)
    told = problem(response, 404, "ConversationNotFound")
    assert "POST /v1/conversations" in told["hint"]
    assert len(response.content) < 1000


async def test_what_is_no_id_is_422(client: httpx.AsyncClient) -> None:
    for wrong in (7, ["x"], {"id": "x"}):
        problem(await client.post("/v1/answer", json=ASKED | {"conversation": wrong}), 422, "BadRequest")
    half = b'{"question": "x", "conversation": "\\ud800"}'
    response = await client.post("/v1/answer", content=half, headers={"content-type": "application/json"})
    problem(response, 422, "BadRequest")


async def test_a_web_page_cannot_make_one_without_saying_json(client: httpx.AsyncClient) -> None:
    """Each new one can make the service forget an old one."""
    assert (await client.post("/v1/conversations")).status_code == 422
    plain = await client.post("/v1/conversations", content=b"{}", headers={"content-type": "text/plain"})
    assert plain.status_code == 422


@pytest.mark.parametrize("stream", [False, True])
async def test_a_second_question_at_the_same_time_is_409(
    engine: Engine, client: httpx.AsyncClient, stream: bool
) -> None:
    id_, other = await begun(client), await begun(client)
    generator = engine.rag.generator
    assert isinstance(generator, Waiting)
    generator.go_on.clear()
    first = asyncio.create_task(
        client.post("/v1/answer", json=ASKED | {"conversation": id_, "stream": stream})
    )
    await generator.talking.wait()
    told = problem(
        await client.post("/v1/answer", json=ASKED | {"conversation": id_}), 409, "ConversationBusy"
    )
    assert told["retryable"] is True
    elsewhere = asyncio.create_task(client.post("/v1/answer", json=ASKED | {"conversation": other}))
    generator.go_on.set()
    assert [(await task).status_code for task in (first, elsewhere)] == [200, 200]
    assert (await client.post("/v1/answer", json=ASKED | {"conversation": id_})).status_code == 200
    assert len((await client.get(f"/v1/conversations/{id_}")).json()["turns"]) == 2
