"""Clients that are slow to ask, to send and to read, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api import slow_clients
from fake_engine import engine_over, fake_store, ingested
from fakes import FakeGenerator
from live import Live, live
from rag.compose import Engine

pytestmark = pytest.mark.process

QUESTION = json.dumps({"question": "How long does the battery last?", "stream": True}).encode()


class Talkative(FakeGenerator):
    """Says much."""

    reply = ""

    async def stream(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        while True:
            async for delta in super().stream(*arguments, **options):  # type: ignore[arg-type]
                yield delta


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    (tmp_path / "gauge.md").write_text("The battery of the gauge lasts 400 days.\n")
    store = fake_store(tmp_path)
    made = engine_over(store, tmp_path, Talkative(f"It lasts {'x' * 20_000} days "))
    ingested(made, tmp_path / "gauge.md")
    yield made
    store.close()


@pytest.fixture
async def house(engine: Engine) -> AsyncIterator[Live]:
    async with live(engine) as service:
        yield service


async def connected(house: Live) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(house.url.rsplit(":", 1)[1]), limit=2**12)


def head(method: str, path: str, *more: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *more, "", "")).encode()


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127.0"])
async def test_who_never_asks_is_left(house: Live, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(slow_clients, "HEADERS_S", 0.3)
    reader, writer = await connected(house)
    writer.write(sent)
    dripping = asyncio.create_task(_drip(writer))
    assert await asyncio.wait_for(reader.read(), 10) == b""
    dripping.cancel()
    writer.close()


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(0.05)
        writer.write(b"a")


async def test_who_asks_again_and_again_is_not(house: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "HEADERS_S", 0.3)
    reader, writer = await connected(house)
    for _ in range(4):
        writer.write(head("GET", "/healthz"))
        reply = await asyncio.wait_for(reader.readuntil(b'"ok"}'), 10)
        assert b" 200 " in reply
        await asyncio.sleep(0.15)
    writer.close()


@pytest.mark.parametrize("path", ["/v1/answer", "/v1/uploads?collection=team"])
async def test_a_body_that_drips_is_refused(
    house: Live, engine: Engine, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(slow_clients, "BODY_S", 0.3)
    reader, writer = await connected(house)
    sent = ("Content-Length: 100000", "Content-Type: multipart/form-data; boundary=x")
    writer.write(head("POST", path, f"Authorization: Bearer {house.token}", *sent))
    writer.write(b'--x\r\nContent-Disposition: form-data; name="files"; filename="half.md"\r\n\r\n')
    dripping = asyncio.create_task(_drip(writer))
    reply = await asyncio.wait_for(reader.read(), 10)
    dripping.cancel()
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"came too slowly" in reply
    assert not list((house.data / "files").rglob("half.md"))
    writer.close()


async def test_who_does_not_read_an_answer_is_left(
    house: Live, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_clients, "READ_S", 0.3)
    _, writer = await connected(house)
    sent = ("Content-Type: application/json", f"Content-Length: {len(QUESTION)}")
    writer.write(head("POST", "/v1/answer", *sent) + QUESTION)
    async with asyncio.timeout(10):
        while not engine.rag.serving.gate.running:  # noqa: ASYNC110 the gate has no event for this
            await asyncio.sleep(0.01)
        while engine.rag.serving.gate.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    writer.transport.abort()
