"""Collections over REST: made, shown, changed, renamed, and deleted only by who has seen what would be lost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import collections
from fake_engine import engine_over, fake_store, ingested
from ingest.jobs import Job, Jobs
from ingest.renaming import renamed
from ingest.run import Run
from ingest.uploads import Uploads
from ingest.workers import InProcess
from openapi_check import mismatches
from rag.compose import Engine
from rag.errors import CollectionBusy
from rest import OWNER, ended, problem, reached

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = fake_store(tmp_path)
    (tmp_path / "gauge.md").write_text("The battery of the gauge lasts 400 days.")
    engine = engine_over(store, tmp_path)
    ingested(engine, tmp_path / "gauge.md", collection="team")
    yield engine
    store.close()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with reached(engine) as client:
        yield client


async def test_made_listed_and_shown(client: httpx.AsyncClient) -> None:
    made = await client.post("/v1/collections", json={"collection": "empty"}, headers=OWNER)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/collections/empty")
    listed = (await client.get("/v1/collections")).json()["collections"]
    assert [(each["collection"], each["documents"]) for each in listed] == [("empty", 0), ("team", 1)]
    shown = await client.get("/v1/collections/team")
    assert shown.json() == listed[1]
    again = await client.post("/v1/collections", json={"collection": "empty"}, headers=OWNER)
    problem(again, 409, "CollectionExists")
    bad = await client.post("/v1/collections", json={"collection": "../x"}, headers=OWNER)
    problem(bad, 400, "BadName")
    problem(await client.get("/v1/collections/nope"), 404, "CollectionNotFound")


async def test_one_that_is_damaged_does_not_hide_the_others(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "collections" / "broken").mkdir()
    listed = (await client.get("/v1/collections")).json()["collections"]
    assert [(each["collection"], each["documents"]) for each in listed] == [("broken", None), ("team", 1)]
    assert "broken" in listed[0]["error"]


async def test_an_etag_spares_the_reply_and_guards_a_change(client: httpx.AsyncClient) -> None:
    first = await client.get("/v1/collections/team")
    tag = first.headers["etag"]
    same = await client.get("/v1/collections/team", headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    stale, change = {**OWNER, "If-Match": '"stale"'}, {"target_ttft_ms": 2000}
    problem(await client.patch("/v1/collections/team", json=change, headers=stale), 412, "OutOfDate")
    problem(await client.delete("/v1/collections/team", headers=stale), 412, "OutOfDate")
    done = await client.patch("/v1/collections/team", json=change, headers={**OWNER, "If-Match": tag})
    assert (done.status_code, done.json()["target_ttft_ms"]) == (200, 2000)
    assert done.headers["etag"] != tag
    now = await client.get("/v1/collections/team", headers={"If-None-Match": tag})
    assert (now.status_code, now.headers["etag"]) == (200, done.headers["etag"])


async def test_settings_are_changed_one_by_one(client: httpx.AsyncClient, tmp_path: Path) -> None:
    async def changed(**body: Any) -> dict[str, Any]:
        reply = await client.patch("/v1/collections/team", json=body, headers=OWNER)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    assert (await changed(pinned=[str(tmp_path / "gauge.md")], target_ttft_ms=900))["target_ttft_ms"] == 900
    both = await changed()
    assert (both["target_ttft_ms"], [Path(pin["source"]).name for pin in both["pinned"]]) == (
        900,
        ["gauge.md"],
    )
    assert (await changed(target_ttft_ms=None))["pinned"] == both["pinned"]
    assert (await changed(pinned=None))["pinned"] == []
    absent = await client.patch(
        "/v1/collections/team", json={"name": "new", "pinned": ["absent.md"]}, headers=OWNER
    )
    problem(absent, 404, "DocumentNotFound")
    assert (await client.get("/v1/collections/team")).status_code == 200


async def test_a_renamed_collection_goes_on_with_all_that_it_has(
    client: httpx.AsyncClient, engine: Engine, tmp_path: Path
) -> None:
    async def send(collection: str, text: bytes) -> dict[str, int]:
        files = [("files", ("a.md", text))]
        sent = await client.post("/v1/uploads", params={"collection": collection}, files=files, headers=OWNER)
        counts: dict[str, int] = (await ended(client, sent.json()["job"]["id"]))["job"]["counts"]
        return counts

    client.headers.update(OWNER)
    assert await send("team", b"First of the team.") == {"added": 1}
    await client.patch("/v1/collections/team", json={"target_ttft_ms": 900}, headers=OWNER)
    before = (await client.get("/v1/documents", params={"collection": "team"})).json()["documents"]
    renamed = await client.patch("/v1/collections/team", json={"name": "crew"}, headers=OWNER)
    assert (renamed.json()["collection"], renamed.json()["target_ttft_ms"]) == ("crew", 900)
    problem(await client.get("/v1/collections/team"), 404, "CollectionNotFound")
    after = (await client.get("/v1/documents", params={"collection": "crew"})).json()["documents"]
    assert after == [{**document, "collection": "crew"} for document in before]
    # The same files are the same documents; a collection of the old name is another one.
    assert await send("crew", b"First of the team.") == {"unchanged": 1}
    assert await send("team", b"First of the new team.") == {"added": 1}
    assert await send("crew", b"Second.") == {"replaced": 1}
    ids = [
        {
            document["id"]
            for document in (await client.get(f"/v1/collections/{name}/documents")).json()["documents"]
        }
        for name in ("crew", "team")
    ]
    assert not ids[0] & ids[1]
    answer = await client.post(
        "/v1/answer", json={"question": "How long does the battery of the gauge last?", "collection": "crew"}
    )
    assert answer.status_code == 200
    taken = await client.patch("/v1/collections/crew", json={"name": "team"}, headers=OWNER)
    problem(taken, 409, "CollectionExists")


def test_it_is_not_renamed_under_a_job(engine: Engine, tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, engine.rag.collection_settings.identity)
    with closing(Jobs(tmp_path / "jobs.db")) as jobs:
        job = jobs.add(Run("team", ("/nowhere",)))
        with pytest.raises(CollectionBusy):
            renamed(engine.rag, uploads, jobs, "team", "crew")
        jobs.cancel(job.id)
        renamed(engine.rag, uploads, jobs, "team", "crew")
    assert engine.rag.store.names() == ["crew"]


@pytest.mark.parametrize("ask", ["add", "retry"])
def test_a_job_that_is_asked_for_during_a_rename_waits_for_its_end(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    uploads, whole = Uploads(tmp_path, engine.rag.collection_settings.identity), engine.rag.store.rename
    with closing(Jobs(tmp_path / "jobs.db")) as jobs, ThreadPoolExecutor() as pool:
        ended = jobs.add(Run("team", ("/nowhere",))).id
        jobs.cancel(ended)
        asked: list[Future[Job]] = []
        seen: list[bool] = []

        def rename(old: str, new: str) -> None:
            asked.append(
                pool.submit(jobs.add, Run(old, ("/x",))) if ask == "add" else pool.submit(jobs.retry, ended)
            )
            wait(asked, timeout=0.3)
            seen.append(asked[0].done())
            whole(old, new)

        monkeypatch.setattr(engine.rag.store, "rename", rename)
        renamed(engine.rag, uploads, jobs, "team", "crew")
        assert asked[0].result(timeout=30).state == "queued"
        assert seen == [False]


async def test_deletion_takes_the_token_that_told_what_would_be_lost(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.headers.update(OWNER)
    asked = problem(await client.delete("/v1/collections/team"), 428, "ConfirmationNeeded")
    assert asked["would_be_lost"] == {"documents": 1, "passages": 1, "uploaded_files": 0}
    assert "1 documents" in asked["detail"]
    token = asked["token"]
    await client.post("/v1/collections", json={"collection": "other"})
    for path, wrong in (
        ("other", token),
        ("team", token[:-1] + ("0" if token[-1] != "0" else "1")),
        ("team", "1" + token),
        ("team", "nonsense"),
    ):
        response = await client.delete(f"/v1/collections/{path}", params={"confirm": wrong})
        problem(response, 428, "ConfirmationNeeded")
    await client.patch("/v1/collections/team", json={"target_ttft_ms": 5})
    stale = await client.delete("/v1/collections/team", params={"confirm": token})
    token = problem(stale, 428, "ConfirmationNeeded")["token"]
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + collections.CONFIRM_S + 2)
    late = await client.delete("/v1/collections/team", params={"confirm": token})
    token = problem(late, 428, "ConfirmationNeeded")["token"]
    done = await client.delete("/v1/collections/team", params={"confirm": token})
    assert (done.status_code, len(done.json()["removed"])) == (200, 1)
    problem(await client.get("/v1/collections/team"), 404, "CollectionNotFound")


async def test_only_the_owner_changes_anything(client: httpx.AsyncClient) -> None:
    for reply in (
        await client.post("/v1/collections", json={"collection": "x"}),
        await client.patch("/v1/collections/team", json={"name": "x"}),
        await client.delete("/v1/collections/team"),
    ):
        assert reply.status_code == 401
    assert (await client.get("/v1/collections/team")).status_code == 200


async def test_replies_are_as_described(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for method, path, status in (
        ("get", "/v1/collections", 200),
        ("get", "/v1/collections/team", 200),
        ("delete", "/v1/collections/team", 428),
    ):
        response = await client.request(method, path, headers=OWNER)
        described = document["paths"][path.replace("team", "{collection}")][method]["responses"][str(status)]
        kind = response.headers["content-type"]
        assert mismatches(response.json(), described["content"][kind]["schema"], document) == []
