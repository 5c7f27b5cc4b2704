"""The MCP server, driven by the SDK's client: in memory over REST without sockets, and over both transports."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult
from pygit2 import Commit

from api.mcp.rest import Rest, Where
from api.mcp.server import mcp_server
from api.mcp.tools import Tools
from code_base import put_code
from fake_engine import TOKEN, engine_over, fake_store
from fakes import FakeGenerator
from git_house import Repo
from live import Live, live
from rag.compose import Engine
from rag.ports import Delta, Message
from rag.question import GREEDY, Sampling
from rag.store.edge import EdgeStore
from service import OPENBOOK
from service_in_process import serving

REPLY = "It serves as long as it is told [1]."
TOOLS = {"collections", "search", "ask", "read", "symbols", "references", "map", "ingest", "refresh"}
JOB = {
    "job": {
        "id": "j1",
        "run": {"collection": "code", "paths": ["/a"]},
        "state": "done",
        "counts": {"added": 2},
    }
}


def told(result: CallToolResult) -> str:
    (content,) = result.content
    assert content.type == "text"
    return content.text


def given(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, result
    assert result.structured_content is not None
    return dict(result.structured_content)


def refused(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error
    assert "Traceback" not in told(result)
    return dict((result.structured_content or {}).get("error", {}))


# In memory, with a service that answers as it is told.


def canned(replies: dict[str, tuple[int, Any]], asked: list[httpx.Request]) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        status, body = replies[f"{request.method} {request.url.path}"]
        return httpx.Response(status, json=body)

    async def here() -> Where:
        return Where("http://service", "token")

    return Client(mcp_server(Tools(Rest(here, httpx.MockTransport(answer)), [Path("/allowed")])))


async def test_tools_say_what_they_take_and_give() -> None:
    async with canned({}, []) as client:
        tools = (await client.list_tools()).tools
        assert client.instructions is not None
        assert "collections" in client.instructions
    assert {tool.name for tool in tools} == TOOLS
    for tool in tools:
        assert len(tool.description or "") > 100
        assert tool.output_schema is not None
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint == (tool.name not in ("ingest", "refresh"))
        for argument in tool.input_schema["properties"].values():
            if argument.get("type") == "integer":
                assert {"minimum", "maximum"} <= set(argument)


async def test_refresh_begins_a_job_and_tells_what_became_of_it() -> None:
    asked: list[httpx.Request] = []
    replies = {"POST /v1/collections/a/b/refresh": (202, JOB)}
    async with canned(replies, asked) as client:
        result = await client.call_tool("refresh", {"collection": "a/b", "ref": "main"})
        await client.call_tool("refresh", {"collection": "a/b"})
    assert given(result)["counts"] == {"added": 2}
    assert "job j1: done" in told(result)
    assert asked[0].url.raw_path == b"/v1/collections/a%2Fb/refresh"
    assert asked[0].headers["authorization"] == "Bearer token"
    assert [json.loads(request.content) for request in asked] == [{"ref": "main"}, {}]


async def test_a_job_that_goes_on_is_left_after_the_wait() -> None:
    running = {"job": JOB["job"] | {"state": "running"}, "left_s": 90.0}
    replies = {"POST /v1/jobs": (202, running), "GET /v1/jobs/j1": (200, running)}
    asked: list[httpx.Request] = []
    async with canned(replies, asked) as client:
        result = await client.call_tool("ingest", {"paths": ["/allowed/a"], "wait_s": 0})
        assert "about 90 s are left" in told(result)
        assert len(asked) == 1
        noted: list[tuple[float, str | None]] = []

        async def note(progress: float, total: float | None, message: str | None) -> None:
            noted.append((progress, message))

        call = client.call_tool("ingest", {"paths": ["/a"], "wait_s": 0.1}, progress_callback=note)
        assert given(await call)["state"] == "running"
        assert noted == [(0, "running")]
    assert json.loads(asked[0].content)["within"] == ["/allowed"]


async def test_errors_say_the_way_out() -> None:
    problem = {"code": "Overloaded", "detail": "Too many wait.", "hint": "Ask again in 5 s."}
    async with canned({"POST /v1/answer": (429, problem)}, []) as client:
        result = await client.call_tool("ask", {"question": "Why?"})
    assert refused(result) == {
        "code": "Overloaded",
        "message": "Too many wait.",
        "hint": "Ask again in 5 s.",
        "retryable": True,
    }
    assert told(result).splitlines() == [
        "Overloaded: Too many wait.",
        "Ask again in 5 s.",
        "The same call may succeed later.",
    ]


async def test_a_bug_tells_nothing_of_itself() -> None:
    async with canned({}, []) as client:  # the stand-in raises KeyError
        result = await client.call_tool("collections", {})
    assert result.is_error
    assert "Traceback" not in told(result)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {"query": ""}),
        ("search", {"query": "a", "limit": 0}),
        ("search", {"query": "a", "limit": 201}),
        ("search", {"query": "a", "tokens": 10**9}),
        ("read", {"document": "a" * 5000}),
        ("symbols", {"query": "a", "kind": "verb"}),
        ("references", {"symbol": "a", "direction": "sideways"}),
        ("ingest", {"paths": []}),
        ("ingest", {"paths": ["/a"], "wait_s": 10_000}),
        ("map", {"tokens": "many"}),
    ],
)
async def test_arguments_have_bounds(tool: str, arguments: dict[str, Any]) -> None:
    asked: list[httpx.Request] = []
    async with canned({}, asked) as client:
        assert (await client.call_tool(tool, arguments)).is_error
    assert asked == []


# Over a store, and over the transports.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an allowed folder, of which links lead out."""
    folder = tmp_path_factory.mktemp("mcp").resolve()
    (folder / "allowed").mkdir()
    (folder / "other").mkdir()
    (folder / "allowed" / "gauge.md").write_text("# Gauge\n\nThe battery of the gauge lasts 400 days.\n")
    (folder / "other" / "secret.md").write_text("# Secret\n\nThe password is swordfish.\n")
    (folder / "allowed" / "link.md").symlink_to(folder / "other" / "secret.md")
    os.mkfifo(folder / "allowed" / "pipe")
    return folder


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[EdgeStore]:
    store = fake_store(folder / "data")
    put_code(store, folder)
    yield store
    store.close()


@pytest.fixture
def engine(store: EdgeStore, folder: Path) -> Engine:
    return engine_over(store, folder / "data", FakeGenerator(REPLY))


@asynccontextmanager
async def in_memory(engine: Engine, folder: Path, mode: str) -> AsyncIterator[Client]:
    roots = [folder / "allowed"]

    async def here() -> Where:
        return Where("http://127.0.0.1", TOKEN)

    async with serving(engine) as app:
        server = mcp_server(Tools(Rest(here, httpx.ASGITransport(app)), roots))
        async with Client(server, mode=mode) as client:
            yield client


@asynccontextmanager
async def over_http(
    service: Live, mode: str, token: str | None = None, headers: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    shown = service.token if token is None else token
    sent = ({"Authorization": f"Bearer {shown}"} if shown else {}) | (headers or {})
    async with (
        httpx2.AsyncClient(headers=sent, timeout=60, trust_env=False) as http,
        Client(streamable_http_client(f"{service.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@asynccontextmanager
async def over_stdio(
    data: Path, roots: Sequence[Path], mode: str = "auto", **environment: str
) -> AsyncIterator[Client]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("OPENBOOK_")}
    variables |= {
        "OPENBOOK_DATA_DIR": str(data),
        "OPENBOOK_ROOTS": os.pathsep.join(map(str, roots)),
    } | environment
    server = StdioServerParameters(command=OPENBOOK, args=["mcp", "serve"], env=variables)
    async with Client(stdio_client(server), mode=mode) as client:
        yield client


@asynccontextmanager
async def over(transport: str, engine: Engine, folder: Path) -> AsyncIterator[Client]:
    kind, _, mode = transport.partition(" ")
    if kind == "memory":
        async with in_memory(engine, folder, mode) as client:
            yield client
        return
    async with live(engine, [folder / "allowed"]) as service:
        opened: AbstractAsyncContextManager[Client] = (
            over_http(service, mode)
            if kind == "http"
            else over_stdio(service.data, [folder / "allowed"], mode)
        )
        async with opened as client:
            yield client


TRANSPORTS = ("memory auto", "memory legacy", "http auto", "http legacy", "stdio auto", "stdio legacy")


@pytest.mark.process
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_tool(transport: str, engine: Engine, folder: Path) -> None:
    async with over(transport, engine, folder) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
        await _reads_code(client, folder)
        await _ingests(client, folder)
        await _asks(client, folder)
        # It was made from no repository: whatever the service answers comes through.
        assert told(await client.call_tool("refresh", {"collection": "code"}))


async def _reads_code(client: Client, folder: Path) -> None:
    held = given(await client.call_tool("collections", {}))
    assert "code" in {each["name"] for each in held["collections"]}
    assert held["allowed_folders"] == [str(folder / "allowed")]
    found = await client.call_tool("symbols", {"query": "Server", "collection": "code"})
    assert told(found).startswith(f"{folder}/app/server.py:6-12  class app.server.Server")
    assert given(found)["symbols"][0]["qualified"] == "app.server.Server"
    used = await client.call_tool(
        "references", {"symbol": "jobs.run", "kinds": ["call"], "collection": "code"}
    )
    assert f"{folder}/app/server.py:11  call in app.server.Server.start (exact)" in told(used)
    text = await client.call_tool("read", {"symbol": "Server.start", "collection": "code"})
    assert f"{folder}/app/server.py:9-12 (app.server.Server.start), of 12 lines\n    # As long" in told(text)
    lines = given(
        await client.call_tool("read", {"document": "jobs.py", "lines": "4-5", "collection": "code"})
    )
    assert lines["text"] == 'class Base:\n    """What jobs have in common."""\n'
    made = given(await client.call_tool("map", {"collection": "code", "tokens": 500, "focus": ["jobs.py"]}))
    assert made["tokens"] <= 500
    passages = await client.call_tool("search", {"query": "Server serves", "collection": "code", "limit": 1})
    assert told(passages).startswith(f"[1] {folder}/app/")
    assert given(passages)["next_offset"] == 1
    assert "offset=1" in told(passages)


async def _ingests(client: Client, folder: Path) -> None:
    paths = [str(folder / "allowed")]
    done = given(await client.call_tool("ingest", {"paths": paths, "collection": "notes", "wait_s": 60}))
    assert done["state"] == "done"
    assert sum(done["counts"].get(each, 0) for each in ("added", "unchanged")) == 1
    assert {each["reason"] for each in done["notable"]} >= {"a link out of the allowed folders"}
    found = given(await client.call_tool("search", {"query": "password swordfish", "collection": "notes"}))
    assert all("swordfish" not in each["text"] for each in found["passages"])


async def _asks(client: Client, folder: Path) -> None:
    asked = {"question": "How long does the server serve?", "collection": "code", "paths": ["app/server.py"]}
    answer = await client.call_tool("ask", asked)
    cited = given(answer)["citations"][0]
    assert cited["at"].startswith(f"{folder}/app/server.py:")
    assert told(answer).startswith(REPLY)
    assert cited["at"] in told(answer)


@pytest.mark.process
@pytest.mark.parametrize("transport", ["memory auto", "http auto", "stdio auto"])
async def test_a_repository_is_brought_to_its_present_commit(
    transport: str, engine: Engine, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "allowed" / "tool")
    repo.commit(pump_py="def pump():\n    return 1\n", old_py="def old():\n    return 2\n")
    collection = {"collection": f"tool-{transport.split()[0]}"}
    async with over(transport, engine, tmp_path) as client:
        read = {"paths": [str(repo.root)], "wait_s": 60} | collection
        assert given(await client.call_tool("ingest", read))["counts"] == {"added": 2}
        repo.git.branches.local.create("before", repo.git.head.peel(Commit))
        (repo.root / "old.py").unlink()
        repo.commit(pump_py="def pump():\n    return 3\n", valve_py="def valve():\n    return 4\n")
        result = await client.call_tool("refresh", collection | {"wait_s": 60})
        done = given(result)
        assert (done["state"], done["counts"]) == ("done", {"added": 1, "removed": 1, "replaced": 1})
        found = given(await client.call_tool("symbols", {"query": "valve"} | collection))
        assert [each["qualified"] for each in found["symbols"]] == ["valve.valve"]
        again = given(await client.call_tool("refresh", collection | {"wait_s": 60}))
        assert not again["counts"].keys() & {"added", "removed", "replaced"}
        back = given(await client.call_tool("refresh", collection | {"ref": "before", "wait_s": 60}))
        assert back["counts"] == {"added": 1, "removed": 1, "replaced": 1}
        nowhere = await client.call_tool("refresh", collection | {"ref": "nowhere"})
        assert "nowhere" in refused(nowhere)["message"]


@pytest.mark.process
@pytest.mark.parametrize("transport", ["http auto", "stdio auto"])
async def test_what_is_outside_the_roots_is_refused(transport: str, engine: Engine, folder: Path) -> None:
    allowed = folder / "allowed"
    outside = {
        f"{folder}/other": "outside",
        f"{folder}/not there": "outside",
        f"{allowed}/../other/secret.md": "..",
        f"{allowed}/link.md": "by a link",
        f"{allowed}/pipe": "a pipe",
        "/dev/zero": "outside",
        "/proc/self/environ": "outside",
        "/etc/passwd": "outside",
    }
    async with over(transport, engine, folder) as client:
        for path, why in outside.items():
            result = await client.call_tool("ingest", {"paths": [path], "collection": "evil"})
            problem = refused(result)
            assert problem["code"] == "PathNotAllowed", path
            assert why in problem["message"]
            assert "OPENBOOK_ROOTS" in problem["hint"]
        relative = await client.call_tool("ingest", {"paths": ["allowed"], "collection": "evil"})
        assert refused(relative)["code"] == "BadRequest"
        for document in ("/etc/passwd", "../../etc/passwd", f"{folder}/other/secret.md"):
            read = await client.call_tool("read", {"document": document, "collection": "code"})
            assert refused(read)["code"] == "DocumentNotFound"
        held = given(await client.call_tool("collections", {}))
    assert "evil" not in {each["name"] for each in held["collections"]}


@pytest.mark.process
async def test_without_roots_nothing_is_ingested(engine: Engine, folder: Path) -> None:
    async with live(engine) as service, over_http(service, "auto") as client:
        result = await client.call_tool("ingest", {"paths": [str(folder / "allowed")]})
        assert "no folder is allowed" in refused(result)["message"]


@pytest.mark.process
async def test_over_http_only_the_owner_writes(engine: Engine, folder: Path) -> None:
    async with live(engine, [folder / "allowed"]) as service, over_http(service, "auto", "") as client:
        for tool, arguments in (("ingest", {"paths": [str(folder / "allowed")]}), ("refresh", {})):
            assert (await client.call_tool(tool, arguments)).is_error
        result = await client.call_tool("ingest", {"paths": [str(folder / "allowed")]})
        assert "owner.json" in told(result)
        assert not (await client.call_tool("collections", {})).is_error


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "0"},
    },
}
ACCEPTED = {"Accept": "application/json, text/event-stream"}


@pytest.mark.process
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 400),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example:8080", "Host": "evil.example:8080"}, 400),
        ({"Origin": "http://[broken"}, 403),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
async def test_pages_of_other_sites_do_not_reach_it(
    engine: Engine, headers: dict[str, str], status: int
) -> None:
    async with live(engine) as service, httpx.AsyncClient(trust_env=False) as http:
        sent = ACCEPTED | {"Content-Type": "application/json"} | headers
        response = await http.post(f"{service.url}/mcp", content=json.dumps(INITIALIZE), headers=sent)
        assert response.status_code == status
        own = ACCEPTED | {"Origin": service.url}
        response = await http.post(f"{service.url}/mcp", json=INITIALIZE, headers=own)
        assert response.status_code == 200


@pytest.mark.process
async def test_elsewhere_no_page_reaches_it(engine: Engine) -> None:
    async with serving(engine, host="0.0.0.0") as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://evil.example") as http:
            sent = ACCEPTED | {"Origin": "http://evil.example"}
            response = await http.post("/mcp", json=INITIALIZE, headers=sent)
            assert response.status_code == 403


class Endless(FakeGenerator):
    """Says one word and goes on until it is ended."""

    def __init__(self) -> None:
        super().__init__("It")
        self.talking, self.ended = asyncio.Event(), asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        try:
            yield Delta("It ")
            self.talking.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.mark.process
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_cancelling_ends_the_generation(transport: str, store: EdgeStore, folder: Path) -> None:
    generator = Endless()
    engine = engine_over(store, folder / "data", generator)
    async with over(transport, engine, folder) as client:
        call = asyncio.create_task(client.call_tool("ask", {"question": "Server?", "collection": "code"}))
        await asyncio.wait_for(generator.talking.wait(), 30)
        call.cancel()
        await asyncio.wait_for(generator.ended.wait(), 10)
        assert not (await client.call_tool("collections", {})).is_error
