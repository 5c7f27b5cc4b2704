"""Jobs over REST: asked for, followed, cancelled, tried again, and taken up after a restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from starlette.types import Receive, Scope, Send

from api.app import create_app
from fake_engine import engine_over, fake_store
from git_house import Repo
from ingest.jobs import Jobs
from rag.collection_settings import REPOSITORIES
from rag.compose import Engine
from rag.errors import StoreUnavailable
from rag.repository import load
from rest import OWNER, Slow, ended

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds


@asynccontextmanager
async def service(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(lambda: nullcontext(engine))
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8080", headers=OWNER
        ) as client:
            yield client


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.job_routes.FOLLOW_S", 0.02)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = fake_store(tmp_path)
    yield engine_over(store, tmp_path)
    store.close()


def files(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(f"What {name} says.\n")
    return folder


async def test_a_job_is_done_and_says_what_happened_to_each_file(engine: Engine, tmp_path: Path) -> None:
    folder = files(tmp_path, "a.md", "b.txt")
    (folder / "c.pdf").write_bytes(b"no PDF")
    async with service(engine) as client:
        asked = await client.post("/v1/jobs", json={"paths": [str(folder)], "collection": "c"})
        assert asked.status_code == 202
        job = asked.json()["job"]
        assert asked.headers["location"] == f"/v1/jobs/{job['id']}"
        done = await ended(client, job["id"])
        assert done["job"]["state"] == "done"
        assert done["job"]["counts"] == {"added": 2, "failed": 1}
        assert (done["job"]["files"], done["job"]["files_done"]) == (3, 3)
        # In the order in which they were done: what cannot be read waits for no embedding; of two that are parsed
        # at once, either may be first.
        names = [file["name"] for file in done["files"]]
        assert names[0] == "files/c.pdf"
        assert sorted(names[1:]) == ["files/a.md", "files/b.txt"]
        assert (await client.get(f"/v1/jobs/{job['id']}", params={"after": 2})).json()["files"] == done[
            "files"
        ][2:]
        assert [each["job"]["id"] for each in (await client.get("/v1/jobs")).json()["jobs"]] == [job["id"]]
    assert len(engine.rag.store.open("c").documents()) == 2


@pytest.mark.parametrize("step", ["begin", "end"])
async def test_a_queue_that_fails_for_a_while_is_gone_on_with(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    folder, works, failed = files(tmp_path, "a.md"), getattr(Jobs, step), 0

    def fails_twice(jobs: Jobs, *of: Any) -> Any:
        nonlocal failed
        failed += 1
        if failed <= 2:
            raise StoreUnavailable("The jobs cannot be written: database or disk is full.", "Make room.")
        return works(jobs, *of)

    monkeypatch.setattr("api.job_runner.AGAIN_S", 0.01)
    monkeypatch.setattr(Jobs, step, fails_twice)
    async with service(engine) as client:
        for _ in range(2):  # what came in meanwhile too
            asked = await client.post("/v1/jobs", json={"paths": [str(folder)]})
            done = await ended(client, asked.json()["job"]["id"])
            assert (done["job"]["state"], done["job"]["attempts"]) == ("done", 1)
    assert failed > 2


async def test_a_job_can_be_followed_from_any_time(engine: Engine, tmp_path: Path) -> None:
    folder = files(tmp_path, "a.md", "b.txt")
    async with service(engine) as client:
        id_ = (await client.post("/v1/jobs", json={"paths": [str(folder)]})).json()["job"]["id"]
        for _ in range(2):  # while it runs, and when it has ended
            async with aconnect_sse(client, "GET", f"/v1/jobs/{id_}/events") as source:
                events = [(event.event, json.loads(event.data)) async for event in source.aiter_sse()]
            named = [data["name"] for name, data in events if name == "file"]
            assert sorted(named) == ["files/a.md", "files/b.txt"]  # in the order in which they were read
            assert events[-1][0] == "job"
            assert events[-1][1]["job"]["state"] == "done"


async def test_cancelled_between_two_files(engine: Engine, tmp_path: Path) -> None:
    folder, slow = files(tmp_path, *(f"{n}.md" for n in range(30))), Slow(engine)
    async with service(engine) as client:
        first, second = [
            (await client.post("/v1/jobs", json={"paths": [str(folder)]})).json()["job"]["id"] for _ in "ab"
        ]
        await asyncio.to_thread(slow.entered.wait, 5)
        pending = (await client.get("/v1/status")).json()["jobs"]
        assert [(each["id"], each["state"]) for each in pending] == [(first, "running"), (second, "queued")]
        assert pending[0]["files"] == 30
        assert str(folder) not in json.dumps(pending)  # names of files are for the owner
        assert (await client.post(f"/v1/jobs/{second}/cancel")).json()["job"]["state"] == "cancelled"
        assert (await client.post(f"/v1/jobs/{first}/cancel")).json()["job"]["state"] == "cancelled"
        again = await client.post(f"/v1/jobs/{first}/cancel")
        assert (again.status_code, again.json()["code"]) == (400, "BadRequest")
        # Asked for again while its cancelled run is still at a file: that run's end is not the new one's.
        assert (await client.post(f"/v1/jobs/{first}/retry")).json()["job"]["state"] == "queued"
        slow.go_on.set()
        done = await ended(client, first)
        assert done["job"]["state"] == "done"
        assert done["job"]["files_done"] == 30
        assert (await client.get("/v1/status")).json()["jobs"] == []


async def test_a_job_is_taken_up_again_after_a_restart(engine: Engine, tmp_path: Path) -> None:
    folder, slow = files(tmp_path, "a.md", "b.md"), Slow(engine)
    async with service(engine) as client:
        ids = [
            (await client.post("/v1/jobs", json={"paths": [str(folder)]})).json()["job"]["id"] for _ in "ab"
        ]
        await asyncio.to_thread(slow.entered.wait, 5)
        asyncio.get_running_loop().call_later(0.2, slow.go_on.set)
    async with service(engine) as client:
        for id_ in ids:
            done = await ended(client, id_)
            assert (done["job"]["state"], done["job"]["attempts"]) == ("done", 1)
            assert sorted(file["name"] for file in done["files"]) == ["files/a.md", "files/b.md"]


async def test_a_folder_that_goes_while_the_job_waits_fails_it_with_the_reason(
    engine: Engine, tmp_path: Path
) -> None:
    folder, slow = files(tmp_path, "a.md"), Slow(engine)
    other = tmp_path / "other"
    other.mkdir()
    async with service(engine) as client:
        await client.post("/v1/jobs", json={"paths": [str(folder)]})
        id_ = (await client.post("/v1/jobs", json={"paths": [str(other)]})).json()["job"]["id"]
        await asyncio.to_thread(slow.entered.wait, 5)
        other.rmdir()
        slow.go_on.set()
        job = (await ended(client, id_))["job"]
    assert (job["state"], job["error"]) == ("failed", f"{other} does not exist.")


async def test_what_cannot_be_a_job(engine: Engine, tmp_path: Path) -> None:
    async with service(engine) as client:
        for body, status in (
            ({"paths": ["relative"]}, 400),
            ({"paths": [str(tmp_path / "nope")]}, 404),
            ({"paths": []}, 422),
            ({"paths": [str(tmp_path)], "collection": "No!"}, 400),
        ):
            reply = await client.post("/v1/jobs", json=body)
            assert (reply.status_code, reply.headers["content-type"]) == (
                status,
                "application/problem+json",
            ), body
        for call in (
            client.get("/v1/jobs/nope"),
            client.post("/v1/jobs/nope/cancel"),
            client.get("/v1/jobs/nope/events"),
        ):
            reply = await call
            assert (reply.status_code, reply.json()["code"]) == (404, "JobNotFound")
        client.headers.pop("authorization")
        for call in (client.get("/v1/jobs"), client.post("/v1/jobs", json={"paths": [str(tmp_path)]})):
            assert (await call).status_code == 401


async def test_a_refresh_is_a_job_of_the_repositories_that_the_collection_was_made_from(
    engine: Engine, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "project")
    repo.commit(a_md="a\n", b_md="b\n")
    async with service(engine) as client:
        first = await client.post("/v1/collections/c/refresh", json={})
        assert (first.status_code, first.json()["code"]) == (400, "BadRequest")
        asked = await client.post("/v1/jobs", json={"paths": [str(repo.root)], "collection": "c"})
        await ended(client, asked.json()["job"]["id"])
        repo.remove("b.md")
        commit = repo.commit(a_md="changed\n")
        refreshed = await client.post("/v1/collections/c/refresh", json={})
        assert refreshed.status_code == 202
        job = refreshed.json()["job"]
        assert refreshed.headers["location"] == f"/v1/jobs/{job['id']}"
        assert job["run"]["paths"] == [str(repo.root)]
        done = await ended(client, job["id"])
        assert {file["name"]: file["status"] for file in done["files"]} == {
            "project/a.md": "replaced",
            "project/b.md": "removed",
        }
        known = load(engine.rag.collection_settings.get("c", REPOSITORIES))
        assert [each.commit for each in known] == [commit]
        wrong = await client.post("/v1/collections/c/refresh", json={"ref": "mian"})
        assert (wrong.status_code, wrong.json()["code"]) == (404, "RefNotFound")
        assert "main" in wrong.json()["hint"]
