"""What a citation points to, over REST: a document's text, pages of PDFs, and what a time would let be read."""

from __future__ import annotations

import asyncio
import io
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from api.drawing import AT_ONCE
from conftest import ROOT
from fake_engine import engine_over, fake_store, ingested
from fakes import Costly, change
from ingest.pdf.page_image import PageImage
from ingest.workers import InProcess
from openapi_check import mismatches
from rag.answer import Rag
from rag.compose import Engine
from rag.types import Document
from service_in_process import serving

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

NOTES = "# Notes\n\nFirst line — with 🌊 in it.\n\nThe gates close at 4.2 metres.\nLast line.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources").resolve()
    shutil.copy(ROOT / "samples" / "heron-h2-manual.pdf", folder / "manual.pdf")
    (folder / "notes.md").write_text(NOTES)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    store = fake_store(folder)
    engine = engine_over(store, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
        ingested(engine, folder / "manual.pdf", folder / "notes.md")
    yield engine
    engine.rag.conversations.close()
    store.close()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


def named(engine: Engine, name: str) -> Document:
    documents = engine.rag.store.open("default").documents()
    return next(document for document in documents if document.source.endswith(name))


async def conforms(client: httpx.AsyncClient, path: str, value: Any) -> None:
    document = (await client.get("/openapi.json")).json()
    schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert mismatches(value, schema, document) == []


async def test_a_text_comes_whole_with_the_places_of_its_passages(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    document = named(engine, "notes.md")
    reply = (await client.get(f"/v1/documents/{document.id}/text")).json()
    assert reply["text"] == NOTES
    assert (reply["start"], reply["end"], reply["characters"]) == (0, len(NOTES), len(NOTES))
    assert [part["line"] for part in reply["passages"]] == [
        1 + NOTES.count("\n", 0, part["start"]) for part in reply["passages"]
    ]
    await conforms(client, "/v1/documents/{document_id}/text", reply)


async def test_a_part_of_a_text_is_the_whole_passages_around_it(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    document = named(engine, "manual.pdf")
    passages = engine.rag.store.open("default").read(document.id)
    middle = passages[len(passages) // 2]
    span = {"start": middle.start + 1, "end": middle.start + 2}
    reply = (await client.get(f"/v1/documents/{document.id}/text", params=span)).json()
    assert reply["text"] == middle.text
    assert reply["passages"] == [
        {
            "start": middle.start, "end": middle.end, "line": middle.line, "page": middle.page, "sheet": None,
            "section": list(middle.section),
        }
    ]  # fmt: skip
    beyond = await client.get(f"/v1/documents/{document.id}/text", params={"start": 10**9})
    assert (beyond.json()["text"], beyond.json()["passages"]) == ("", [])


async def test_a_page_shows_the_words_of_a_span_marked_where_they_stand(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    document = named(engine, "manual.pdf")
    passages = engine.rag.store.open("default").read(document.id)
    path = f"/v1/documents/{document.id}/pages/1"
    plain = await client.get(path)
    assert plain.headers["content-type"] == "image/png"
    assert "x-highlight" not in plain.headers
    passage = next(each for each in passages if each.page == 1)
    words = passage.text.split()
    quote = " ".join(words[:6]) if " ".join(words[:6]) in passage.text else words[0]
    start = passage.start + passage.text.index(quote)
    marked = await client.get(path, params={"start": start, "end": start + len(quote)})
    left, top, right, bottom = map(float, marked.headers["x-highlight"].split())
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom < 0.5
    before, after = (np.asarray(Image.open(io.BytesIO(reply.content))) for reply in (plain, marked))
    rows, columns = np.nonzero((before != after).any(axis=2))
    height, width = before.shape[:2]
    assert abs(rows.min() / height - top) < 0.01
    assert abs(rows.max() / height - bottom) < 0.01
    assert abs(columns.min() / width - left) < 0.01


async def test_many_pictures_wait_for_each_other_and_nobody_else_for_them(
    client: httpx.AsyncClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = named(engine, "manual.pdf")
    first, drawn, reads = threading.Event(), threading.Event(), 0
    begun: list[Future[PageImage]] = []

    def draw(*_: object) -> Future[PageImage]:
        done: Future[PageImage] = Future()

        def later() -> None:
            drawn.wait()
            done.set_result(PageImage(b"png", None))

        begun.append(done)
        first.set()
        threading.Thread(target=later).start()
        return done

    def reading(collections: list[str], work: Any) -> Any:
        nonlocal reads
        reads += 1
        try:
            return Rag.reading(engine.rag, collections, work)
        finally:
            reads -= 1

    monkeypatch.setattr("ingest.workers.Workers.draw", draw)
    monkeypatch.setattr(engine.rag, "reading", reading)
    spans = [{"start": 1, "end": 2 + i} for i in range(40)]  # more than there are threads
    path = f"/v1/documents/{manual.id}"
    asked = [asyncio.create_task(client.get(f"{path}/pages/1", params=span)) for span in spans]
    try:
        async with asyncio.timeout(20):
            await asyncio.to_thread(first.wait)
            assert (await client.get(f"{path}/text")).status_code == 200
        assert len(begun) == AT_ONCE
        assert reads == 0
    finally:
        drawn.set()
        replies = await asyncio.gather(*asked)
    assert {reply.status_code for reply in replies} == {200}


async def test_what_cannot_be_drawn_says_why(client: httpx.AsyncClient, engine: Engine, folder: Path) -> None:
    notes, manual = named(engine, "notes.md"), named(engine, "manual.pdf")
    for path, status, code in (
        (f"/v1/documents/{notes.id}/pages/1", 422, "SourceUnsupported"),
        (f"/v1/documents/{manual.id}/pages/999", 400, "BadRequest"),
        (f"/v1/documents/{manual.id}/text?start=5&end=2", 400, "BadRequest"),
        ("/v1/documents/no-such/text", 404, "DocumentNotFound"),
        (f"/v1/documents/{manual.id}/text?collection=no-such", 404, "CollectionNotFound"),
    ):
        reply = await client.get(path)
        assert (reply.status_code, reply.json()["code"]) == (status, code), path
        assert reply.json()["hint"]
    original = (folder / "manual.pdf").read_bytes()
    try:
        (folder / "manual.pdf").write_bytes(original + b"\n% changed")
        reply = await client.get(f"/v1/documents/{manual.id}/pages/2")
        assert (reply.status_code, reply.json()["code"]) == (404, "OriginalNotFound")
        assert "has changed" in reply.json()["detail"]
        (folder / "manual.pdf").unlink()
        assert "not a file" in (await client.get(f"/v1/documents/{manual.id}/pages/2")).json()["detail"]
    finally:
        (folder / "manual.pdf").write_bytes(original)


async def test_a_plan_tells_how_much_a_time_affords(client: httpx.AsyncClient, engine: Engine) -> None:
    unknown = (await client.get("/v1/plan", params={"target_ttft_ms": 500})).json()
    assert (unknown["seconds"], unknown["error"]) == (None, None)
    assert unknown["tokens"] == min(unknown["budget_tokens"], unknown["collection_tokens"])
    assert unknown["target_ttft_ms"] == 500
    await conforms(client, "/v1/plan", unknown)
    change(engine.rag, serving=replace(engine.rag.serving, costs=Costly(0.1, per_token=0.001)))
    little, more = [(await client.get("/v1/plan", params={"target_ttft_ms": ms})).json() for ms in (600, 900)]
    assert 128 <= little["tokens"] < more["tokens"] <= more["collection_tokens"]
    assert little["seconds"] <= 0.6
    assert more["seconds"] <= 0.9
    free = (await client.get("/v1/plan", params={"collection": ["default", "default"]})).json()
    assert (free["target_ttft_ms"], free["collections"]) == (None, ["default"])
    assert (await client.get("/v1/plan?collection=none")).json()["code"] == "CollectionNotFound"


async def test_the_page_is_served_with_a_policy_that_lets_nothing_else_run(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    for path in ("/page/main.js", "/page/style.css"):
        reply = await client.get(path)
        assert reply.status_code == 200
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["content-security-policy"] == policy
        again = await client.get(path, headers={"If-None-Match": reply.headers["etag"]})
        assert again.status_code == 304
    for path in ("/page/../app.py", "/page/no-such.js"):
        assert (await client.get(path)).status_code == 404


def test_modules_of_the_page_stay_small() -> None:
    long = {
        path.name: lines
        for path in (ROOT / "api" / "page").glob("*.js")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert long == {}
