"""Documents of a collection over REST: by the page, one by one, replaced, deleted, and the files they came from."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_engine import engine_over, fake_store, ingested
from fakes import document
from ingest.listed import Wanted, page
from ingest.workers import InProcess
from rag.compose import Engine
from rest import OWNER, ended, problem, reached

pytestmark = pytest.mark.process  # of which they start none; but a service for each takes seconds

DOCUMENTS = "/v1/collections/c/documents"


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "gauge.md").write_text("# The gauge\n\nIts battery lasts 400 days.")
    (folder / "tide.txt").write_text("The tide comes twice a day.")
    (folder / "main.py").write_text("def main() -> None:\n    print('hello')\n")
    os.utime(folder / "gauge.md", (1_600_000_000, 1_600_000_000))
    return folder


@pytest.fixture
def engine(tmp_path: Path, folder: Path) -> Iterator[Engine]:
    store = fake_store(tmp_path)
    engine = engine_over(store, tmp_path)
    ingested(engine, folder, collection="c")
    yield engine
    store.close()


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with reached(engine, OWNER) as client:
        yield client


async def listed(client: httpx.AsyncClient, **params: Any) -> list[str]:
    reply = await client.get(DOCUMENTS, params=params)
    assert reply.status_code == 200, reply.text
    return [Path(each["source"]).name for each in reply.json()["documents"]]


async def id_of(client: httpx.AsyncClient, name: str) -> str:
    (found,) = (await client.get(DOCUMENTS, params={"name": name})).json()["documents"]
    return str(found["id"])


async def test_pages_filters_and_orders(client: httpx.AsyncClient) -> None:
    assert await listed(client) == ["gauge.md", "main.py", "tide.txt"]
    assert await listed(client, offset=1, limit=1) == ["main.py"]
    assert (await client.get(DOCUMENTS, params={"offset": 9})).json() == {
        "collection": "c", "total": 3, "offset": 9, "documents": [],
    }  # fmt: skip
    assert await listed(client, sort="-source") == ["tide.txt", "main.py", "gauge.md"]
    assert (await listed(client, sort="modified"))[0] == "gauge.md"
    assert await listed(client, name="GAUGE") == ["gauge.md"]
    assert await listed(client, name="*.t?t") == ["tide.txt"]
    assert await listed(client, media_type="text/x-*") == ["main.py"]
    assert await listed(client, code="python") == ["main.py"] == await listed(client, code="*")
    assert await listed(client, modified_since="2021-01-01") == ["main.py", "tide.txt"]
    for wrong in ({"sort": "colour"}, {"limit": 0}, {"offset": -1}, {"modified_since": "soon"}):
        problem(await client.get(DOCUMENTS, params=wrong), 422, "BadRequest")
    problem(await client.get("/v1/collections/nope/documents"), 404, "CollectionNotFound")
    tag = (await client.get(DOCUMENTS)).headers["etag"]
    assert (await client.get(DOCUMENTS, headers={"If-None-Match": tag})).status_code == 304


def test_equal_ones_keep_their_order_from_page_to_page() -> None:
    documents = [document(f"file:///{i}.txt", tokens=i % 2) for i in range(50)]
    pages = [page("c", documents, Wanted(), "-tokens", offset, 7).documents for offset in range(0, 50, 7)]
    assert {each.id for part in pages for each in part} == {each.id for each in documents}


async def test_one_by_its_id(client: httpx.AsyncClient) -> None:
    id_ = await id_of(client, "gauge")
    reply = await client.get(f"{DOCUMENTS}/{id_}")
    assert (reply.json()["title"], reply.json()["collection"]) == ("The gauge", "c")
    again = await client.get(f"{DOCUMENTS}/{id_}", headers={"If-None-Match": reply.headers["etag"]})
    assert again.status_code == 304
    for unknown in ("nope", "0" * 32, "00000000-0000-0000-0000-000000000000"):
        problem(await client.get(f"{DOCUMENTS}/{unknown}"), 404, "DocumentNotFound")


async def test_the_original_and_parts_of_it(client: httpx.AsyncClient, folder: Path) -> None:
    url = f"{DOCUMENTS}/{await id_of(client, 'tide')}/original"
    whole = await client.get(url)
    assert whole.content == (folder / "tide.txt").read_bytes()
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.headers["content-disposition"] == 'attachment; filename="tide.txt"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = await client.get(url, headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"tide")
    assert (await client.get(url, headers={"Range": "bytes=9999-"})).status_code == 416
    tag = whole.headers["etag"]
    assert (await client.get(url, headers={"If-None-Match": tag})).status_code == 304
    shown = await client.get(url, params={"disposition": "inline"})
    assert shown.headers["content-disposition"].startswith("inline")
    code = await client.get(
        f"{DOCUMENTS}/{await id_of(client, 'main')}/original", params={"disposition": "inline"}
    )
    assert code.headers["content-disposition"].startswith("attachment")
    (folder / "tide.txt").write_text("Something that was not read.")
    assert "changed" in problem(await client.get(url), 404, "OriginalNotFound")["detail"]
    (folder / "tide.txt").unlink()
    problem(await client.get(url), 404, "OriginalNotFound")


async def test_deleted(client: httpx.AsyncClient, folder: Path) -> None:
    url = f"{DOCUMENTS}/{await id_of(client, 'tide')}"
    stale = await client.delete(url, headers={"If-Match": '"old"'})
    problem(stale, 412, "OutOfDate")
    tag = (await client.get(url)).headers["etag"]
    done = await client.delete(url, headers={"If-Match": tag})
    assert (done.status_code, len(done.json()["removed"])) == (200, 1)
    problem(await client.delete(url), 404, "DocumentNotFound")
    assert await listed(client) == ["gauge.md", "main.py"]
    assert (folder / "tide.txt").exists()


async def test_an_uploaded_file_is_replaced(client: httpx.AsyncClient, tmp_path: Path) -> None:
    sent = await client.post(
        "/v1/uploads", params={"collection": "c"}, files=[("files", ("notes/may.md", b"First of May."))]
    )
    await ended(client, sent.json()["job"]["id"])
    url = f"{DOCUMENTS}/{await id_of(client, 'may')}"
    assert (await client.get(f"{url}/original")).content == b"First of May."
    tag = (await client.get(url)).headers["etag"]
    done = await client.put(url, content=b"Second of May.", headers={"If-Match": tag})
    assert done.status_code == 202, done.text
    job = (await ended(client, done.json()["job"]["id"]))["job"]
    assert (job["counts"], done.headers["location"]) == ({"replaced": 1}, f"/v1/jobs/{job['id']}")
    assert (await client.get(f"{url}/original")).content == b"Second of May."
    problem(await client.put(url, content=b"x", headers={"If-Match": tag}), 412, "OutOfDate")
    local = f"{DOCUMENTS}/{await id_of(client, 'tide')}"
    problem(await client.put(local, content=b"x"), 409, "NotReplaceable")
    assert not list((tmp_path / "files" / ".incoming").iterdir())


async def uploaded(client: httpx.AsyncClient) -> tuple[str, str]:
    """A document's address, and its tag."""
    sent = await client.post(
        "/v1/uploads", params={"collection": "c"}, files=[("files", ("may.md", b"First of May."))]
    )
    await ended(client, sent.json()["job"]["id"])
    url = f"{DOCUMENTS}/{await id_of(client, 'may')}"
    return url, (await client.get(url)).headers["etag"]


async def test_what_is_replaced_by_somebody_else_while_the_body_comes_is_not_replaced_again(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    url, tag = await uploaded(client)

    async def body() -> AsyncIterator[bytes]:
        yield b"Third "
        other = await client.put(url, content=b"Second of May.", headers={"If-Match": tag})
        assert other.status_code == 202, other.text
        await ended(client, other.json()["job"]["id"])
        yield b"of May."

    problem(await client.put(url, content=body(), headers={"If-Match": tag}), 412, "OutOfDate")
    assert (await client.get(f"{url}/original")).content == b"Second of May."
    assert not list((tmp_path / "files" / ".incoming").iterdir())


async def test_what_came_and_is_not_read_yet_is_not_overwritten_by_who_does_not_know_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, tag = await uploaded(client)
    with monkeypatch.context() as patch:
        patch.setattr("api.job_runner.JobRunner.wake", lambda _: None)
        other = await client.put(url, content=b"Second of May.", headers={"If-Match": tag})
        late = await client.put(url, content=b"Third of May.", headers={"If-Match": tag})
        assert "not in the index" in problem(late, 412, "OutOfDate")["detail"]
        problem(await client.delete(url, headers={"If-Match": tag}), 412, "OutOfDate")
    whatever_it_is = await client.put(url, content=b"Fourth of May.", headers={"If-Match": "*"})
    assert whatever_it_is.status_code == 202, whatever_it_is.text
    for reply in (other, whatever_it_is):
        await ended(client, reply.json()["job"]["id"])
    assert (await client.get(f"{url}/original")).content == b"Fourth of May."


async def test_a_replacement_is_streamed_up_to_the_limit_of_uploads(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await client.post(
        "/v1/uploads", params={"collection": "c"}, files=[("files", ("a.txt", b"A few words."))]
    )
    await ended(client, sent.json()["job"]["id"])
    url = f"{DOCUMENTS}/{await id_of(client, 'a.txt')}"
    text = b"All the words of it.\n" * 60_000  # more than a body that is held in memory may have
    done = await client.put(url, content=text)
    assert done.status_code == 202, done.text
    await ended(client, done.json()["job"]["id"])
    assert (await client.get(f"{url}/original")).content == text


async def test_only_the_owner_writes(client: httpx.AsyncClient) -> None:
    url = f"{DOCUMENTS}/{await id_of(client, 'tide')}"
    del client.headers["Authorization"]
    assert (await client.delete(url)).status_code == 401
    assert (await client.put(url, content=b"x")).status_code == 401
    assert (await client.get(f"{url}/original")).status_code == 200
