"""What tests of the service's paths share: the owner's key, a client without a socket, what an error and a job say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from fake_engine import TOKEN
from rag.compose import Engine
from service_in_process import serving

OWNER = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def reached(
    engine: Engine, headers: Mapping[str, str] | None = None, **options: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the service over ``engine``; ``options`` are those of ``serving``."""
    async with serving(engine, **options) as app:
        transport, url = httpx.ASGITransport(app), "http://127.0.0.1:8080"
        async with httpx.AsyncClient(transport=transport, base_url=url, headers=headers) as client:
            yield client


def problem(response: httpx.Response, status: int, code: str, *, hinted: bool = True) -> dict[str, Any]:
    """The body of an error, which must be of this kind. Not ``hinted``: what is wrong with a request's body is all that
    there is to tell."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["code"]) == (status, status, code), body
    assert body["title"]
    assert body["detail"]
    assert body["hint"] or not hinted
    return body


async def ended(client: httpx.AsyncClient, id_: str) -> dict[str, Any]:
    """A job that has ended, with its files."""
    for _ in range(200):
        reply: dict[str, Any] = (await client.get(f"/v1/jobs/{id_}")).json()
        if reply["job"]["state"] in ("done", "failed", "cancelled"):
            return reply
        await asyncio.sleep(0.02)
    raise AssertionError(reply)


class Slow:
    """An embedder that waits to be let on."""

    def __init__(self, engine: Engine) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        embedder = engine.rag.embedder
        self._embed, self._embedder = embedder.embed, embedder
        embedder.embed = self.embed  # type: ignore[method-assign]

    def embed(self, texts: Any) -> Any:
        self.entered.set()
        assert self.go_on.wait(10)
        return self._embed(texts)
