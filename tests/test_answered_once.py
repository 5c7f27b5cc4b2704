"""A question that is asked again with its Idempotency-Key is computed once, also where its first client has gone."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.idempotency import REPLAYED
from fake_engine import REPLY, keeping_answers
from fakes import FakeGenerator
from live import live
from openbook.client import AsyncClient
from rag.answers import Answers
from rag.compose import Engine
from rag.errors import ModelUnavailable
from rag.ports import Delta
from rest import OWNER, problem, reached

pytestmark = pytest.mark.process

KEY = {"Idempotency-Key": "one"}
ASKED: dict[str, Any] = {"question": "How long does the battery last?"}


class Waiting(FakeGenerator):
    """Says nothing before it is let."""

    def __init__(self) -> None:
        super().__init__(REPLY)
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def stream(self, *arguments: Any, **options: Any) -> AsyncGenerator[Delta, None]:
        self.asked.set()
        await self.let.wait()
        async for delta in super().stream(*arguments, **options):
            yield delta


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(REPLY)


@pytest.fixture
def engine(tmp_path: Path, generator: FakeGenerator) -> Iterator[Engine]:
    with keeping_answers(tmp_path, generator, 10) as engine:
        yield engine


async def asked(client: httpx.AsyncClient, headers: dict[str, str] = KEY, **more: Any) -> httpx.Response:
    return await client.post("/v1/answer", json=ASKED | more, headers=headers)


def bodies(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(folder / "idempotency.db")) as database:
        return [body for (body,) in database.execute("SELECT body FROM replies")]


async def test_the_same_question_is_answered_once_also_by_the_next_process(
    engine: Engine, generator: FakeGenerator, tmp_path: Path
) -> None:
    async with reached(engine) as client:
        first, again = await asked(client), await asked(client)
        assert (first.status_code, again.status_code, again.json()) == (200, 200, first.json())
        assert (first.headers.get(REPLAYED), again.headers[REPLAYED]) == (None, "true")
        assert again.headers["content-type"] == first.headers["content-type"] == "application/json"
        problem(await asked(client, question="And in winter?"), 422, "IdempotencyKeyReused")
        assert (await asked(client, headers=KEY | OWNER)).json()["id"] != first.json()["id"], "another caller"
    async with reached(engine) as client:
        assert (await asked(client)).json() == first.json()
    assert len(generator.sent) == 2
    assert first.json()["id"].encode() in bodies(tmp_path), "kept by the id of the past answer alone"


async def test_a_turn_of_a_conversation_is_taken_once(engine: Engine, generator: FakeGenerator) -> None:
    async with reached(engine) as client:
        talk = (await client.post("/v1/conversations", json={})).json()["id"]
        for _ in range(2):
            assert (await asked(client, conversation=talk)).status_code == 200
        assert len((await client.get(f"/v1/conversations/{talk}")).json()["turns"]) == 1
    assert len(generator.sent) == 1


async def test_a_forgotten_answer_and_one_that_failed_are_computed_anew(
    engine: Engine, generator: FakeGenerator
) -> None:
    async with reached(engine) as client:
        generator.error = ModelUnavailable("It is away.", "Start it.")
        problem(await asked(client), 503, "ModelUnavailable")
        generator.error = None
        first = await asked(client)
        await client.delete(f"/v1/answers/{first.json()['id']}", headers=OWNER)
        again = await asked(client)
        assert (again.status_code, REPLAYED in again.headers) == (200, False)
        assert again.json()["id"] != first.json()["id"]
        assert (await asked(client)).json() == again.json()


async def test_where_no_answers_are_kept_the_reply_is(
    engine: Engine, generator: FakeGenerator, tmp_path: Path
) -> None:
    engine.rag.answers = Answers()
    async with reached(engine) as client:
        first, again = await asked(client), await asked(client)
        assert (again.content, again.headers[REPLAYED]) == (first.content, "true")
    assert bodies(tmp_path) == [first.content]
    assert len(generator.sent) == 1


async def test_a_stream_takes_no_key(engine: Engine, generator: FakeGenerator) -> None:
    async with reached(engine) as client:
        problem(await asked(client, stream=True), 400, "BadRequest")
        assert generator.sent == []
        assert (await asked(client, headers={}, stream=True)).status_code == 200


@pytest.mark.parametrize("generator", [Waiting()], ids=["waiting"])
async def test_who_lost_the_connection_gets_the_answer_that_was_begun(
    engine: Engine, generator: Waiting
) -> None:
    async with live(engine) as service, httpx.AsyncClient(base_url=service.url) as client:
        lost = asyncio.create_task(asked(client))
        await generator.asked.wait()
        lost.cancel()
        await asyncio.wait([lost])
        other = await asked(client, question="And in winter?")
        problem(other, 422, "IdempotencyKeyReused")
        waiting = [asyncio.create_task(asked(client)) for _ in range(2)]
        await asyncio.wait(waiting, timeout=0.3)
        assert not any(task.done() for task in waiting), "they wait for it"
        generator.let.set()
        replies = [await task for task in waiting]
        assert [(each.status_code, each.headers[REPLAYED]) for each in replies] == [(200, "true")] * 2
        assert replies[0].content == replies[1].content
        async with AsyncClient(service.url, service.token) as own:
            first = await own.ask(ASKED["question"], key="two")
            assert await own.ask(ASKED["question"], key="two") == first
        assert len(generator.sent) == 2
