"""A file of the web, fetched from the very address that was found to be public, at each redirect again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import httpx

from ingest.media_types import MEDIA_TYPES, UNKNOWN, by_name
from ingest.web_address import Resolve, addresses, is_public, parsed, resolved
from rag.errors import UrlNotAllowed, UrlUnreadable

MOST_REDIRECTS = 5
MOST_S = 900.0  # of one file
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_REDIRECTS = (301, 302, 303, 307, 308)
_USUAL = {  # of a media type that several endings stand for
    "application/xml": ".xml",
    "image/jpeg": ".jpg",
    "image/tiff": ".tif",
    "text/html": ".html",
    "text/markdown": ".md",
    "text/plain": ".txt",
}
_UNSURE = (
    "",
    UNKNOWN,
    "binary/octet-stream",
    "text/plain",
)  # what servers say of files that they do not know


@dataclass(frozen=True, slots=True)
class WebFile:
    """``name`` is what it is to be called, ``chunks`` are its bytes as they come; ``size`` as the server says, if it
    does."""

    name: str
    size: int | None
    chunks: AsyncIterator[bytes]


class Web:
    """Raises UrlNotAllowed and UrlUnreadable."""

    def __init__(
        self,
        resolve: Resolve = resolved,
        allowed: Callable[[str], bool] = is_public,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._resolve, self._allowed, self._transport = resolve, allowed, transport

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncIterator[WebFile]:
        try:
            # trust_env: a proxy would choose the address itself.
            async with (
                asyncio.timeout(MOST_S),
                httpx.AsyncClient(timeout=_TIMEOUT, transport=self._transport, trust_env=False) as client,
            ):
                final, response = await self._followed(client, parsed(url))
                async with aclosing(response):
                    yield _file(final, response)
        except TimeoutError as error:
            raise UrlUnreadable(
                f"The file took more than {MOST_S / 60:.0f} minutes.", "Upload it."
            ) from error
        except httpx.HTTPError as error:
            raise UrlUnreadable(
                f"The file could not be fetched: {error}", "Try again, or upload it."
            ) from error

    async def _followed(self, client: httpx.AsyncClient, url: httpx.URL) -> tuple[httpx.URL, httpx.Response]:
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._sent(client, url)
            if response.status_code not in _REDIRECTS:
                return url, response
            await response.aclose()
            target = _target(url, response.headers.get("location", ""))
            if url.scheme == "https" and target.scheme != "https":
                raise UrlNotAllowed(
                    "The URL leads from https to http.", "Fetch the file yourself and upload it."
                )
            url = target
        raise UrlUnreadable(f"The URL leads on more than {MOST_REDIRECTS} times.", "Name the file itself.")

    async def _sent(self, client: httpx.AsyncClient, url: httpx.URL) -> httpx.Response:
        address, *_ = await addresses(url, self._resolve, self._allowed)
        request = client.build_request(
            "GET",
            url.copy_with(host=address),
            # The name goes where it is checked: to the server, and into the verification of its certificate.
            headers={
                "Host": url.netloc.decode("ascii"),
                "Accept-Encoding": "identity",
                "User-Agent": "openbook",
            },
            extensions={"sni_hostname": url.host},
        )
        return await client.send(request, stream=True)


def _file(url: httpx.URL, response: httpx.Response) -> WebFile:
    if response.status_code != 200:
        raise UrlUnreadable(f"The server answered {response.status_code}.", "Is the URL right?")
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise UrlUnreadable("The server sends the file compressed though it was not asked to.", "Upload it.")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    size = response.headers.get("content-length", "")
    return WebFile(file_name(url, kind), int(size) if size.isdecimal() else None, response.aiter_raw())


def file_name(url: httpx.URL, kind: str) -> str:
    """Host and path, with an ending that says of what kind it is. Raises UrlNotAllowed for what openbook does not
    read."""
    parts = [part for part in unquote(url.path).split("/") if part.strip() not in ("", ".", "..")] or [
        "index"
    ]
    name = "/".join((url.host.replace(":", "_"), *parts)).replace("\\", "_")
    if url.query:  # another query is another file
        path = PurePosixPath(name)
        name = str(path.with_name(f"{path.stem}-{hashlib.sha256(url.query).hexdigest()[:8]}{path.suffix}"))
    known = by_name(name)
    if known == kind or (known and kind in _UNSURE):
        return name
    ending = _USUAL.get(kind) or next((end for end, each in MEDIA_TYPES.items() if each == kind), None)
    if ending is None:
        raise UrlNotAllowed(
            f"The server says that this is {kind[:100] or 'of no kind'!r}, which openbook does not read.",
            "docs/ingest.md lists what it reads.",
        )
    return name + ending


def _target(url: httpx.URL, location: str) -> httpx.URL:
    try:
        joined = str(url.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlUnreadable(
            f"The URL leads to what is no URL: {location[:80]!r}", "Name the file itself."
        ) from error
    return parsed(joined)
