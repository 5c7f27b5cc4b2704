"""Symbols, references, map and text over REST and on the command line, of a small code base written by hand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import api.asking
import api.cli
import api.code_cli
from api.code_replies import MapReply
from code_base import JOBS, put_code
from command import Ran, in_process
from fake_engine import engine_over, fake_store
from fakes import FakeGenerator
from rag.compose import Engine
from rag.store.edge import EdgeStore
from service_in_process import serving

pytestmark = pytest.mark.process  # of which they start none; but a store takes seconds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("code").resolve()


@pytest.fixture(scope="module")
def store(folder: Path) -> Iterator[EdgeStore]:
    store = fake_store(folder / "data")
    put_code(store, folder)
    yield store
    store.close()


@pytest.fixture
async def client(store: EdgeStore, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine_over(store, folder / "data")) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1/v1/collections/code"
        ) as it:
            yield it


async def got(client: httpx.AsyncClient, path: str, **asked: Any) -> dict[str, Any]:
    response = await client.get(path, params=asked)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def refused(client: httpx.AsyncClient, path: str, **asked: Any) -> dict[str, Any]:
    response = await client.get(path, params=asked)
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code >= 400
    return body


async def test_symbols_come_best_first_and_in_pages(client: httpx.AsyncClient, folder: Path) -> None:
    found = await got(client, "symbols", query="run")
    assert [each["qualified"] for each in found["symbols"]] == ["app.jobs.run", "app.jobs.Job.run"]
    first = found["symbols"][0]
    assert (first["path"], first["line"], first["kind"]) == (str(folder / "app/jobs.py"), 13, "function")
    assert first["signature"] == "def run(job: Job) -> None"
    page = await got(client, "symbols", query="run", limit=1)
    assert (page["next_offset"], len(page["symbols"])) == (1, 1)
    last = await got(client, "symbols", query="run", limit=1, offset=1)
    assert (last["next_offset"], last["symbols"][0]["qualified"]) == (None, "app.jobs.Job.run")
    assert (await got(client, "symbols", query="run", kind="method"))["symbols"][0]["name"] == "run"
    assert (await got(client, "symbols", query="nowhere to be found"))["symbols"] == []
    assert (await refused(client, "symbols", query="run", kind="verb"))["status"] == 422
    assert (await refused(client, "symbols", query="run", limit=0))["status"] == 422


async def test_references_tell_who_and_how_sure(client: httpx.AsyncClient, folder: Path) -> None:
    found = await got(client, "references", symbol="jobs.run", kinds="call")
    assert found["symbol"] == "app.jobs.run"
    used = [(each["path"], each["line"], each["within"], each["sure"]) for each in found["references"]]
    assert used[0] == (str(folder / "app/server.py"), 11, "app.server.Server.start", "exact")
    inherits = await got(client, "references", symbol="Base", kinds="inherit")
    assert [(each["within"], each["kind"]) for each in inherits["references"]] == [
        ("app.jobs.Job", "inherit")
    ]
    callees = await got(client, "references", symbol="Server.start", direction="from", kinds="call")
    assert {each["symbol"] for each in callees["references"]} >= {"app.jobs.run", "app.jobs.Job"}
    assert callees["references"][0]["defined_at"].startswith(str(folder / "app/jobs.py") + ":")
    page = await got(client, "references", symbol="Server.start", direction="from", limit=1)
    assert (page["next_offset"], page["total"] > 1, len(page["references"])) == (1, True, 1)


async def test_one_of_several_symbols_is_picked(client: httpx.AsyncClient) -> None:
    problem = await refused(client, "references", symbol="run")
    assert (problem["status"], problem["code"]) == (400, "AmbiguousName")
    assert "app.jobs.run" in problem["detail"]
    assert "app.jobs.Job.run" in problem["detail"]
    picked = await got(client, "references", symbol="run", qualified="app.jobs.Job.run")
    assert picked["symbol"] == "app.jobs.Job.run"
    problem = await refused(client, "references", symbol="Servr")
    assert (problem["status"], problem["code"]) == (404, "SymbolNotFound")
    assert "app.server.Server" in problem["hint"]
    assert (await refused(client, "references", symbol="run", qualified="no.run"))["code"] == "SymbolNotFound"


async def test_text_is_that_of_a_file_its_lines_or_a_symbol(client: httpx.AsyncClient, folder: Path) -> None:
    whole = await got(client, "text", document="app/jobs.py")
    assert (whole["text"], whole["lines"], whole["rest"]) == (JOBS, 14, None)
    lines = await got(client, "text", document="jobs.py", lines="4-5")
    assert lines["text"] == 'class Base:\n    """What jobs have in common."""\n'
    assert (lines["path"], lines["line_start"], lines["line_end"]) == (str(folder / "app/jobs.py"), 4, 5)
    symbol = await got(client, "text", symbol="Server.start")
    assert symbol["text"].startswith("    # As long as it is told.\n    def start(self)")
    assert (symbol["line_start"], symbol["line_end"], symbol["symbol"]) == (9, 12, "app.server.Server.start")
    by_id = await got(client, "text", document=whole["document_id"], lines="14-")
    assert by_id["text"] == "    job.run()\n"
    by_uri = await got(client, "text", document=(folder / "app/jobs.py").as_uri(), lines="1")
    assert by_uri["text"] == '"""Jobs."""\n'


async def test_text_is_cut_at_the_budget_and_says_where(client: httpx.AsyncClient, store: EdgeStore) -> None:
    first = await got(client, "text", document="app/jobs.py", tokens=16)
    assert first["rest"] == f"{first['line_end'] + 1}-14"
    assert first["tokens"] <= 16
    rest = await got(client, "text", document="app/jobs.py", lines=first["rest"])
    assert first["text"] + rest["text"] == JOBS


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ({"document": "server.py"}, 400, "names 2 documents"),
        ({"document": "erver.py"}, 404, "No document"),
        ({"document": "../../etc/passwd"}, 404, "No document"),
        ({"document": "/etc/passwd"}, 404, "No document"),
        ({"document": "app/jobs.py", "lines": "9-4"}, 400, "There are no lines"),
        ({"document": "app/jobs.py", "lines": "99"}, 400, "There are no lines"),
        ({"document": "app/jobs.py", "lines": "all"}, 400, "are no lines"),
        ({"symbol": "run"}, 400, "names 2 symbols"),
        ({"symbol": "start", "lines": "1-2"}, 400, "Neither"),
        ({}, 400, "Neither"),
    ],
)
async def test_what_text_does_not_find_is_said(
    client: httpx.AsyncClient, asked: dict[str, str], status: int, told: str
) -> None:
    problem = await refused(client, "text", **asked)
    assert problem["status"] == status
    assert told in problem["detail"]


async def test_the_map_fits_its_budget(client: httpx.AsyncClient) -> None:
    made = await got(client, "map", tokens=500)
    assert made["tokens"] <= made["budget"] == 500
    assert (made["files"], "Server" in made["text"]) == (2, True)
    assert (await got(client, "map", tokens=500))["text"] == made["text"]
    assert (await got(client, "map", tokens=500, focus=["jobs.py"]))["shown"] >= 1
    assert (await refused(client, "map", focus=["nowhere.py"]))["code"] == "DocumentNotFound"


async def test_a_collection_that_is_not_there(client: httpx.AsyncClient) -> None:
    for path in ("symbols?query=a", "references?symbol=a", "map", "text?document=a"):
        response = await client.get(f"http://127.0.0.1/v1/collections/none/{path}")
        assert (response.status_code, response.json()["code"]) == (404, "CollectionNotFound")


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: EdgeStore, folder: Path
) -> Callable[..., Ran]:
    engine = engine_over(store, folder / "data", FakeGenerator("It serves as long as it is told [1]."))

    @asynccontextmanager
    async def open_fake(_settings: object, _doing: str) -> AsyncIterator[Engine]:
        yield engine

    for module in (api.code_cli, api.asking, api.cli):
        monkeypatch.setattr(module, "open_rag", open_fake)
    monkeypatch.chdir(folder)
    return in_process(monkeypatch, capsys)


def test_commands_print_places_that_terminals_open(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path
) -> None:
    ran = run("symbols", "Server", "-c", "code")
    assert ran.out.splitlines()[0] == "app/server.py:6  class app.server.Server"
    monkeypatch.chdir(tmp_path)
    ran = run("symbols", "Server", "-c", "code", "--kind", "class")
    assert ran.out.startswith(f"{folder}/app/server.py:6  ")
    assert run("symbols", "x", "--kind", "verb").code == 2
    assert "no symbol like" in run("symbols", "qqqqqqqq", "-c", "code").out
    assert "--offset 1" in run("symbols", "run", "-c", "code", "--limit", "1").err


def test_refs_go_both_ways(run: Callable[..., Ran]) -> None:
    ran = run("refs", "jobs.run", "-c", "code", "--callers")
    assert ran.out.splitlines()[0] == "app/server.py:11  call in app.server.Server.start"
    assert run("refs", "Base", "-c", "code", "--implementers").out.startswith(
        "app/jobs.py:8  inherit in app.jobs.Job"
    )
    ran = run("refs", "Server.start", "-c", "code", "--callees")
    assert "app/server.py:11  call app.jobs.run  defined at app/jobs.py:13" in ran.out
    assert run("refs", "Server.start", "-c", "code", "--callees", "--callers").code == 2
    assert run("refs", "nothing", "-c", "code").code == 2
    assert run("refs", "Server.start", "-c", "code", "--json").json["symbol"] == "app.server.Server.start"


def test_map_prints_the_map_alone(run: Callable[..., Ran]) -> None:
    ran = run("map", "-c", "code", "--tokens", "500")
    assert "Server" in ran.out
    assert "2 files" in ran.err
    assert run("map", "-c", "code", "--focus", "app/jobs.py", "--json").json["files"] == 2


def test_answers_and_passages_of_code_are_at_places_that_terminals_open(run: Callable[..., Ran]) -> None:
    ran = run("ask", "How long does the server serve?", "-c", "code", "--path", "app/server.py")
    assert re.search(r"^\[1\] app/server\.py:\d+(-\d+)?, characters \d+-\d+ \(", ran.out, re.MULTILINE)
    ran = run("search", "server", "-c", "code", "--path", "app/server.py")
    assert re.search(r"^1\. app/server\.py:\d+(-\d+)? ", ran.out, re.MULTILINE)


def test_the_service_is_asked_where_one_runs(
    store: EdgeStore, folder: Path, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []

    class Service:
        def call(self, method: str, path: str, kind: Any, params: Any) -> Any:
            asked.append((path, params))
            return MapReply("a/b", "the map", 2, 500, 1, 1)

    monkeypatch.setattr(api.code_cli, "find_service", lambda _: Service())
    assert run("map", "-c", "a/b", "--tokens", "500").out == "the map\n"
    assert asked == [("/v1/collections/a%2Fb/map", {"tokens": 500, "focus": []})]
