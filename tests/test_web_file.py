"""Files are fetched from public addresses alone, whatever a name server, a redirect or a URL's spelling would have."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_engine import engine_over, fake_store
from ingest.web_address import is_public, parsed
from ingest.web_file import MOST_REDIRECTS, Web, file_name
from ingest.workers import InProcess
from rag.errors import UrlNotAllowed, UrlUnreadable
from rest import OWNER, ended, problem, reached

PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::1", "::",
        "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:1::1", "2001:db8::1", "no address",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700::1111"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://example.org/a", "gopher://example.org", "//example.org/a", "example.org", "",
        "http://", "http:///a", "https://user:secret@example.org/", "http://[::1", "javascript:1",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        parsed(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://example.org/a/report.pdf", "application/pdf", "example.org/a/report.pdf"),
        ("https://example.org/", "text/html", "example.org/index.html"),
        ("https://example.org/guide", "text/html", "example.org/guide.html"),
        ("https://example.org/index.php", "text/html", "example.org/index.php.html"),
        ("https://example.org/main.py", "text/plain", "example.org/main.py"),
        ("https://example.org/x.zip", "application/octet-stream", "example.org/x.zip"),
        ("https://example.org/../a/%2e%2e/b.md", "text/plain", "example.org/a/b.md"),
        ("https://example.org/a.md?page=2", "text/markdown", "example.org/a-bc7c7eb0.md"),
        ("https://[2606:4700::1111]/a.md", "text/markdown", "2606_4700__1111/a.md"),
    ],
)
def test_names_say_where_a_file_is_from_and_of_what_kind_it_is(url: str, kind: str, name: str) -> None:
    assert file_name(httpx.URL(url), kind) == name


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "video/mp4", "application/x-msdownload"])
def test_kinds_that_are_not_read_are_refused(kind: str) -> None:
    with pytest.raises(UrlNotAllowed, match="does not read"):
        file_name(httpx.URL("https://example.org/setup.exe"), kind)


Serve = Callable[[httpx.Request], httpx.Response]


def web(hosts: dict[str, list[str]], serve: Serve) -> Web:
    async def resolve(host: str, _port: int) -> list[str]:
        if host not in hosts:
            raise OSError("no such host")
        return hosts[host]

    return Web(resolve, transport=httpx.MockTransport(serve))


async def fetched(source: Web, url: str) -> bytes:
    async with source.opened(url) as file:
        return b"".join([chunk async for chunk in file.chunks])


def text(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(b"words"), headers={"Content-Type": "text/plain"})


async def test_the_address_that_was_checked_is_the_one_that_is_asked() -> None:
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return text(request)

    source = web({"example.org": [PUBLIC]}, serve)
    assert await fetched(source, "https://example.org:8443/a.txt") == b"words"
    assert str(asked[0].url) == f"https://{PUBLIC}:8443/a.txt"
    assert asked[0].headers["host"] == "example.org:8443"
    assert asked[0].extensions["sni_hostname"] == "example.org"


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], []]
)
async def test_a_host_at_any_private_address_is_refused(found: list[str]) -> None:
    with pytest.raises(UrlNotAllowed, match="not public"):
        await fetched(web({"example.org": found}, text), "http://example.org/a.txt")


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("http://inside.example/a.txt", UrlNotAllowed),
        ("file:///etc/passwd", UrlNotAllowed),
        ("https://user:x@example.org/", UrlNotAllowed),
        ("//absent.example/a", UrlUnreadable),
        ("/again", UrlUnreadable),
        ("http://[::1", UrlUnreadable),
        ("https://ex ample:x/", UrlUnreadable),
    ],
)
async def test_each_redirect_is_checked_anew(location: str, error: type[Exception]) -> None:
    asked: list[str] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": location})

    source = web({"example.org": [PUBLIC], "inside.example": ["10.0.0.5"]}, serve)
    with pytest.raises(error):
        await fetched(source, "http://example.org/a.txt")
    assert len(asked) <= MOST_REDIRECTS + 1
    assert all(PUBLIC in url for url in asked)


async def test_a_redirect_from_https_to_http_is_refused() -> None:
    def serve(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(301, headers={"Location": "http://example.org/a.txt"})

    with pytest.raises(UrlNotAllowed, match="https to http"):
        await fetched(web({"example.org": [PUBLIC]}, serve), "https://example.org/a.txt")


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(404),
        httpx.Response(204),
        httpx.Response(200, stream=httpx.ByteStream(b"x"), headers={"Content-Encoding": "gzip"}),
    ],
)
async def test_what_is_no_file_is_an_error_of_the_server(reply: httpx.Response) -> None:
    with pytest.raises(UrlUnreadable):
        await fetched(web({"example.org": [PUBLIC]}, lambda _: reply), "http://example.org/a.txt")


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"The tide comes twice a day. " * (10 if "small" in self.path else 10_000))

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


@asynccontextmanager
async def service(
    folder: Path, source: Web | None, max_upload_bytes: int = 2**20
) -> AsyncIterator[httpx.AsyncClient]:
    store = fake_store(folder)
    engine = engine_over(store, folder)
    async with reached(engine, OWNER, web=source, max_upload_bytes=max_upload_bytes) as client:
        yield client
    store.close()


async def of_this_machine(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.mark.process
async def test_a_file_is_fetched_and_ingested(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # which nobody must ask

    async with service(tmp_path, Web(of_this_machine, allowed=lambda _: True)) as client:
        body = {"url": f"http://files.example:{port}/small.txt", "collection": "c"}
        sent = await client.post("/v1/uploads/url", json=body)
        assert sent.status_code == 202, sent.text
        assert (await ended(client, sent.json()["job"]["id"]))["job"]["counts"] == {"added": 1}
        (found,) = (await client.get("/v1/collections/c/documents")).json()["documents"]
        assert found["source"].endswith("files.example/small.txt")
        del client.headers["Authorization"]
        assert (await client.post("/v1/uploads/url", json=body)).status_code == 401


@pytest.mark.process
async def test_it_is_off_by_default_and_refuses_this_machine(tmp_path: Path, port: int) -> None:
    body = {"url": f"http://127.0.0.1:{port}/large.txt"}
    async with service(tmp_path / "off", None) as client:
        assert (
            "off" in problem(await client.post("/v1/uploads/url", json=body), 403, "UrlNotAllowed")["detail"]
        )
    async with service(tmp_path / "on", Web()) as client:
        for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"):
            url = {"url": f"http://{host}:{port}/large.txt"}
            problem(await client.post("/v1/uploads/url", json=url), 403, "UrlNotAllowed")


@pytest.mark.process
async def test_no_more_is_taken_than_an_upload_may_have(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.uploads.RESERVE_BYTES", 0)
    source = Web(of_this_machine, allowed=lambda _: True)
    async with service(tmp_path, source, max_upload_bytes=1000) as client:
        reply = await client.post("/v1/uploads/url", json={"url": f"http://files.example:{port}/large.txt"})
        problem(reply, 413, "UploadTooLarge")
    assert not list((tmp_path / "files").glob(".incoming/*"))
