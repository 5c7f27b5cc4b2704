"""A request that is sent again with its Idempotency-Key is done once, also by the next process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Response

from api import idempotency
from api.idempotency import Replies
from api.keys import FILE as KEYS
from api.keys import Keys
from fake_engine import engine_over, fake_store
from ingest.workers import InProcess
from rag.compose import Engine
from rag.errors import IdempotencyKeyBusy
from rest import OWNER, problem, reached

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds

KEY = {"Idempotency-Key": "one"}


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)
    store = fake_store(tmp_path)
    yield engine_over(store, tmp_path)
    store.close()


async def test_the_same_request_is_done_once(engine: Engine) -> None:
    async with reached(engine, OWNER) as client:
        first = await client.post("/v1/collections", json={"collection": "a"}, headers=KEY)
        again = await client.post("/v1/collections", json={"collection": "a"}, headers=KEY)
        assert (again.status_code, again.content) == (201, first.content)
        for name in ("location", "etag", "content-type"):
            assert again.headers[name] == first.headers[name]
        assert (first.headers.get(idempotency.REPLAYED), again.headers[idempotency.REPLAYED]) == (
            None,
            "true",
        )
        other = await client.post("/v1/collections", json={"collection": "b"}, headers=KEY)
        problem(other, 422, "IdempotencyKeyReused")
        elsewhere = await client.post("/v1/conversations", json={}, headers=KEY)
        problem(elsewhere, 422, "IdempotencyKeyReused")
    async with reached(engine, OWNER) as client:
        later = await client.post("/v1/collections", json={"collection": "a"}, headers=KEY)
        assert (later.status_code, later.content) == (201, first.content)


async def test_what_failed_is_tried_again_and_a_key_is_the_callers_own(engine: Engine) -> None:
    async with reached(engine, OWNER) as client:
        wrong = await client.post("/v1/collections", json={"collection": "A!"}, headers=KEY)
        problem(wrong, 400, "BadName")
        assert (await client.post("/v1/conversations", json={}, headers=KEY)).status_code == 201
        stranger = await client.post("/v1/conversations", json={}, headers={**KEY, "Authorization": "x"})
        mine = await client.post("/v1/conversations", json={}, headers=KEY)
        assert stranger.json()["id"] != mine.json()["id"]
        refused = await client.post(
            "/v1/collections", json={"collection": "a"}, headers={**KEY, "Authorization": "Bearer no"}
        )
        assert refused.status_code == 401
        for key in ("", "x" * 256):
            long = await client.post("/v1/conversations", json={}, headers={"Idempotency-Key": key})
            problem(long, 422, "BadRequest")


async def test_who_may_no_longer_write_gets_no_kept_reply(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.authentication.FRESH_S", 0)
    keys = Keys(tmp_path / KEYS)
    held = {**KEY, "Authorization": f"Bearer {keys.add('held', ['write'])[1]}"}
    async with reached(engine, OWNER) as client:
        made = await client.post("/v1/collections", json={"collection": "a"}, headers=held)
        assert made.status_code == 201
        keys.revoke("held")
        again = await client.post("/v1/collections", json={"collection": "a"}, headers=held)
        assert (again.status_code, "location" in again.headers) == (401, False)
    keys.close()


async def test_after_a_day_a_key_is_new(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    async with reached(engine, OWNER) as client:
        first = (await client.post("/v1/conversations", json={}, headers=KEY)).json()
        monkeypatch.setattr(idempotency, "KEPT_S", -1)
        assert (await client.post("/v1/conversations", json={}, headers=KEY)).json() != first


async def test_one_that_is_being_done_is_not_begun_again(tmp_path: Path) -> None:
    replies, going_on = Replies(tmp_path), asyncio.Event()

    async def work() -> Response:
        await going_on.wait()
        return Response(b"done", 201)

    first = asyncio.create_task(replies.once("key", "asked", work))
    await asyncio.sleep(0)
    with pytest.raises(IdempotencyKeyBusy):
        await replies.once("key", "asked", work)
    going_on.set()
    assert (await first).body == (await replies.once("key", "asked", work)).body == b"done"
    replies.close()


async def test_an_upload_is_known_by_its_files_however_they_are_sent(engine: Engine) -> None:
    async def send(client: httpx.AsyncClient, *files: tuple[str, bytes]) -> Any:
        # httpx takes another boundary each time, so the bodies differ.
        parts = [("files", file) for file in files]
        return await client.post("/v1/uploads", params={"collection": "c"}, files=parts, headers=KEY)

    async with reached(engine, OWNER) as client:
        first = await send(client, ("a.md", b"Text of a."), ("b.md", b""))
        again = await send(client, ("a.md", b"Text of a."), ("b.md", b""))
        assert (again.status_code, again.json()) == (202, first.json())
        assert again.headers["location"] == first.headers["location"]
        for files in ([("a.md", b"Text of b.")], [("a.md", b"Text of a."), ("c.md", b"")], [("a.md", b"")]):
            problem(await send(client, *files), 422, "IdempotencyKeyReused")
        assert len((await client.get("/v1/jobs")).json()["jobs"]) == 1
