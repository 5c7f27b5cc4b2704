"""A client that leaves while nothing of its stream has come: the model's request ends, and its place is another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from fake_engine import REPLY, fake_engine, ingested
from fakes import FakeGenerator, change
from rag.compose import Engine
from rag.ports import Delta, Message
from rag.question import GREEDY, Sampling
from service_in_process import serving
from test_api import Connection

pytestmark = pytest.mark.process  # of which they start none; but a service takes seconds

QUESTION, SAID = "How long does the battery last?", "It lasts 400 days."
MODEL = "openbook/default"
PATHS = ["/v1/answer", "/v1/chat/completions", "/v1/responses"]


class Silent(FakeGenerator):
    """Reads whatever it is asked without end, until nobody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.ended = asyncio.Event(), asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
            yield Delta()
        finally:
            self.ended.set()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    (tmp_path / "gauge.md").write_text("The battery of the gauge lasts 400 days.")
    with fake_engine(tmp_path / "data", FakeGenerator(REPLY)) as engine:
        ingested(engine, tmp_path / "gauge.md")
        yield engine


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[ASGIApp]:
    async with serving(engine) as app:
        yield app


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


async def follow_up(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """A second question, which the model makes one that stands alone before anything is searched."""
    said = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": SAID},
        {"role": "user", "content": "And in winter?"},
    ]
    if path == "/v1/chat/completions":
        return {"model": MODEL, "messages": said}
    if path == "/v1/responses":
        return {"model": MODEL, "input": said}
    begun = await client.post("/v1/conversations", json={})
    asked = {"question": QUESTION, "conversation": begun.json()["id"]}
    first = await client.post("/v1/answer", json=asked)
    assert first.status_code == 200, first.text
    return asked | {"question": "And in winter?"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("rewrites", [True, False], ids=["no event", "no word"])
async def test_who_leaves_before_anything_comes_keeps_nobody_waiting(
    engine: Engine, app: ASGIApp, client: httpx.AsyncClient, path: str, rewrites: bool
) -> None:
    body = await follow_up(client, path)
    model, gate = Silent(), engine.rag.serving.gate
    change(engine.rag, generator=model)
    engine.rag.rewrite_follow_ups = rewrites  # with which the model is asked before the first event
    connection = Connection(path, body | {"stream": True})
    running = connection.run(app)
    await asyncio.wait_for(model.asked.wait(), 5)
    assert connection.begun.is_set() is not rewrites
    assert (gate.requests, model.ended.is_set()) == (1, False)
    connection.gone.set()
    await asyncio.wait_for(running, 5)
    assert model.ended.is_set()
    assert (gate.requests, gate.queued, gate.running) == (0, 0, 0)

    change(engine.rag, generator=FakeGenerator(REPLY))  # nothing is held that the same client needs to go on
    again = await client.post(path, json=body)
    assert again.status_code == 200, again.text
