"""Files sent over REST: stored while they come, ingested as a job, and nothing of them kept where that is not done."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app
from fake_engine import engine_over, fake_store
from ingest import uploads
from ingest.workers import InProcess
from openapi_check import mismatches
from rag.compose import Engine
from rest import OWNER, Slow, ended, problem

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds

LIMIT = 100_000


@pytest.fixture(autouse=True)
def _small_disk_and_no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "RESERVE_BYTES", 0)
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = fake_store(tmp_path)
    yield engine_over(store, tmp_path)
    store.close()


@asynccontextmanager
async def service(engine: Engine) -> AsyncIterator[ASGIApp]:
    app = create_app(lambda: nullcontext(engine), max_upload_bytes=LIMIT)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, "state": dict(state or {})}, receive, send)

        yield with_state


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[ASGIApp]:
    async with service(engine) as app:
        yield app


def client_of(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=OWNER)


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def send(client: httpx.AsyncClient, *files: tuple[str, bytes], **params: str) -> httpx.Response:
    return await client.post(
        "/v1/uploads", params={"collection": "c"} | params, files=[("files", file) for file in files]
    )


def kept(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder / "files")) for path in (folder / "files").rglob("*") if path.is_file()
    )


async def names(client: httpx.AsyncClient) -> list[str]:
    listed = (await client.get("/v1/documents", params={"collection": "c"})).json()
    return [Path(document["source"]).name for document in listed["documents"]]


async def test_files_are_sent_ingested_sent_again_and_removed(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    asked = await send(client, ("a.md", b"Text of a."), ("docs/b.md", b"Text of b."), ("bad.pdf", b"no PDF"))
    assert asked.status_code == 202, asked.text
    id_ = asked.json()["job"]["id"]
    assert asked.headers["location"] == f"/v1/jobs/{id_}"
    done = await ended(client, id_)
    assert {file["name"]: file["status"] for file in done["files"]} == {
        "uploads/a.md": "added", "uploads/docs/b.md": "added", "uploads/bad.pdf": "failed",
    }  # fmt: skip
    assert kept(tmp_path) == ["c/uploads/a.md", "c/uploads/bad.pdf", "c/uploads/docs/b.md"]
    assert await names(client) == ["a.md", "b.md"]

    again = await ended(client, (await send(client, ("a.md", b"Text of a."))).json()["job"]["id"])
    assert again["job"]["counts"] == {"unchanged": 1}
    other = await ended(client, (await send(client, ("a.md", b"Other text."))).json()["job"]["id"])
    assert other["job"]["counts"] == {"replaced": 1}

    (await client.post(f"/v1/jobs/{id_}/retry")).raise_for_status()
    retried = await ended(client, id_)
    assert retried["job"]["counts"] == {"unchanged": 2, "failed": 1}
    assert "not tried again" not in json.dumps(retried["files"])

    async def remove(**body: Any) -> Any:
        return (
            await client.request("DELETE", "/v1/documents", json=body | {"collection": "c"})
        ).json()["files"]  # fmt: skip

    assert await remove(names=["uploads/a.md", "uploads/bad.pdf"]) == ["uploads/a.md", "uploads/bad.pdf"]
    assert kept(tmp_path) == ["c/uploads/docs/b.md"]
    assert await remove(all=True) == ["uploads/docs/b.md"]
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["../evil.md", "/etc/evil.md", "a/../../evil.md", "evil\u202e.md", "e" * 300]
)
async def test_a_hostile_name_is_named_and_nothing_is_kept(
    client: httpx.AsyncClient, tmp_path: Path, name: str
) -> None:
    before = sorted(tmp_path.parent.iterdir())
    told = problem(await send(client, ("fine.md", b"x"), (name, b"x")), 400, "BadFileName")["detail"]
    assert "evil" in told or "eee" in told
    assert kept(tmp_path) == []
    assert sorted(tmp_path.parent.iterdir()) == before
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_what_is_refused(client: httpx.AsyncClient, tmp_path: Path) -> None:
    twice = await send(client, ("a.md", b"x"), ("a.md", b"y"))
    assert "'a.md'" in problem(twice, 400, "BadFileName")["detail"]
    problem(await send(client, ("a.md", b"x"), collection="../c"), 400, "BadName")
    problem(await client.post("/v1/uploads", json={"paths": ["/"]}), 400, "BadRequest")
    problem(await client.post("/v1/uploads", data={"files": "text"}), 400, "BadRequest")
    problem(await client.get("/v1/uploads"), 405, "BadRequest")
    assert kept(tmp_path) == []


async def test_only_the_owner_sends_and_nothing_is_read_from_others(app: ASGIApp, tmp_path: Path) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"x"

    async with client_of(app) as client:
        client.headers.pop("authorization")
        headers = {"content-type": "multipart/form-data; boundary=x"}
        reply = await client.post("/v1/uploads", content=body(), headers=headers)
    problem(reply, 401, "KeyMissing")
    assert read == 0
    assert not (tmp_path / "files").exists()


@pytest.mark.parametrize("declared", [True, False])
async def test_no_more_is_taken_than_was_set_whatever_is_declared(
    client: httpx.AsyncClient, tmp_path: Path, declared: bool
) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\n'
        for _ in range(100):
            taken += 1
            yield b"x" * 10_000
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    if declared:
        headers["content-length"] = str(10**6)
    reply = await client.post("/v1/uploads", content=body(), headers=headers)
    told = problem(reply, 413, "UploadTooLarge")["detail"]
    assert "100,000 bytes" in told
    assert taken == (0 if declared else 10)
    assert kept(tmp_path) == []
    # Other paths take as little as ever.
    assert (await client.post("/v1/search", content=b"x" * 2_000_000)).status_code == 413


async def test_a_full_disk_is_told(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "RESERVE_BYTES", 2**60)
    assert "disk" in problem(await send(client, ("a.md", b"x")), 507, "DiskFull")["detail"]
    assert kept(tmp_path) == []


async def test_a_disk_that_fills_up_within_a_file_is_told_and_nothing_is_left(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        """A file on a disk with room for the beginning of it."""

        def __init__(self, file: BinaryIO) -> None:
            self._file = file

        def write(self, data: bytes) -> int:
            self._file.write(data[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def close(self) -> None:
            self._file.close()

    opened: Any = Path.open

    def full(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = opened(path, mode, *arguments, **named)
        return Full(file) if mode == "xb" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        reply = await send(client, ("a.md", b"x" * 50_000))
    assert "disk" in problem(reply, 507, "DiskFull")["detail"]
    assert kept(tmp_path) == []
    assert (await send(client, ("a.md", b"x"))).status_code == 202  # there is room again


async def test_two_at_a_time_of_one_name_and_one_while_another_is_ingested(
    client: httpx.AsyncClient, engine: Engine, tmp_path: Path
) -> None:
    slow = Slow(engine)
    contents = [f"Version {n}.\n\n".encode() * 500 for n in range(4)]
    first = await send(client, ("a.md", b"The first."))
    await asyncio.to_thread(slow.entered.wait, 5)
    replies = await asyncio.gather(*(send(client, ("a.md", content)) for content in contents))
    assert [reply.status_code for reply in replies] == [202] * 4
    assert (tmp_path / "files/c/uploads/a.md").read_bytes() in contents
    slow.go_on.set()
    for reply in (first, *replies):
        assert (await ended(client, reply.json()["job"]["id"]))["job"]["state"] == "done"
    (document,) = engine.rag.store.open("c").documents()
    text = "".join(passage.text for passage in engine.rag.store.open("c").read(document.id))
    assert text.encode() == (tmp_path / "files/c/uploads/a.md").read_bytes()
    assert kept(tmp_path) == ["c/uploads/a.md"]


class Leaving:
    """A client that sends the first half of its file and goes away."""

    def __init__(self) -> None:
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.md"\r\n\r\nhalf'
        self.messages: list[Message] = [
            {"type": "http.request", "body": head, "more_body": True},
            {"type": "http.disconnect"},
        ]
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        await asyncio.sleep(0.01)
        return self.messages.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def request(self, app: ASGIApp) -> None:
        headers = {"host": "127.0.0.1", "content-type": "multipart/form-data; boundary=x", **OWNER}
        scope = {
            "type": "http", "method": "POST", "path": "/v1/uploads", "raw_path": b"/v1/uploads", "root_path": "",
            "scheme": "http", "query_string": b"", "http_version": "1.1",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080), "asgi": {"version": "3.0"},
        }  # fmt: skip
        await app(scope, self.receive, self.send)


async def test_a_client_that_goes_away_in_the_middle_leaves_nothing(
    app: ASGIApp, client: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leaving = Leaving()
    await leaving.request(app)
    assert leaving.sent[0]["status"] == 499
    assert "Traceback" not in caplog.text
    assert kept(tmp_path) == []
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_a_request_that_is_cancelled_in_the_middle_leaves_nothing(app: ASGIApp, tmp_path: Path) -> None:
    leaving = Leaving()
    leaving.messages[1:] = [{"type": "http.request", "body": b"x", "more_body": True}] * 1000
    running = asyncio.create_task(leaving.request(app))
    while not kept(tmp_path):  # noqa: ASYNC110 - what is waited for is on the disk
        await asyncio.sleep(0.005)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert kept(tmp_path) == []


async def test_what_was_accepted_is_ingested_after_a_restart_and_what_was_not_is_cleared(
    engine: Engine, tmp_path: Path
) -> None:
    half = tmp_path / "files" / ".incoming" / "x" / "files"
    half.mkdir(parents=True)
    (half / "half.md").write_bytes(b"ha")
    slow = Slow(engine)
    async with service(engine) as app, client_of(app) as client:
        assert kept(tmp_path) == []
        ids = [
            (await send(client, (name, b"Text."))).json()["job"]["id"] for name in ("a.md", "b.md")
        ]  # fmt: skip
        await asyncio.to_thread(slow.entered.wait, 5)
        asyncio.get_running_loop().call_later(0.2, slow.go_on.set)
    async with service(engine) as app, client_of(app) as client:
        for id_ in ids:
            assert (await ended(client, id_))["job"]["state"] == "done"
        assert await names(client) == ["a.md", "b.md"]


async def test_openapi_describes_it(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    described = document["paths"]["/v1/uploads"]["post"]
    form = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["files"]["type"] == "array"
    assert [parameter["name"] for parameter in described["parameters"]] == [
        "collection",
        "idempotency-key",
    ]
    for reply in (await send(client, ("a.md", b"x")), await send(client), await send(client, ("..", b""))):
        ((kind, content),) = described["responses"][str(reply.status_code)]["content"].items()
        assert reply.headers["content-type"].startswith(kind)
        assert mismatches(reply.json(), content["schema"], document) == []
