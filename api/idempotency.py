"""Requests that are sent again because their reply was lost: with the same Idempotency-Key they are done once.

The reply to a request that was done is kept for a day and sent again to the same caller. What failed did nothing, so it
is tried again. Where the process ends before the reply is kept, a repetition is done as a new request. While a request
is being done, the repetition of a write is refused, and that of a question waits for the same answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute

from rag.database import Database
from rag.errors import IdempotencyKeyBusy, IdempotencyKeyReused

HEADER = "Idempotency-Key"
LONGEST = 255  # characters
KEPT_S = 24 * 3600
REPLAYED = "Idempotency-Replayed"  # a header of a reply that is sent again

_FILE = "idempotency.db"
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    at REAL NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL
);
"""
_HEADERS = ("content-type", "location", "etag")


async def _key(
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1, max_length=LONGEST, description="The same request with the same key is done once."
        ),
    ] = None,
) -> str | None:
    return idempotency_key


ONCE = Depends(_key)  # of a route of class Once, or of one that calls ``Replies.once`` itself
Key = Annotated[str | None, ONCE]


@dataclass(frozen=True, slots=True)
class Bodies:
    """How the bodies of replies are kept: as they are, or by a name of what is kept elsewhere. ``get`` gives None for
    what is not there any more: the request is a new one then. Both run on threads."""

    put: Callable[[Response], bytes] = lambda response: bytes(response.body)
    get: Callable[[bytes], bytes | None] = lambda kept: kept


AS_THEY_ARE = Bodies()


class Replies:
    """Those of one data folder. Raises IdempotencyKeyBusy, IdempotencyKeyReused and StoreUnavailable."""

    def __init__(self, folder: Path) -> None:
        self._database = Database(folder / _FILE, _TABLES, "replies to repeated requests")
        self._doing: set[str] = set()
        self._shared: dict[str, tuple[str, asyncio.Task[Response]]] = {}

    async def shared(
        self, key: str, asked: str, work: Callable[[], Awaitable[Response]], bodies: Bodies = AS_THEY_ARE
    ) -> Response:
        """As ``once``, but who asks again while it is being done waits for what comes of it."""
        if begun := self._shared.get(key):
            _same(begun[0], asked)
            return _again(await asyncio.shield(begun[1]))
        doing = asyncio.create_task(self.once(key, asked, work, bodies))
        self._shared[key] = asked, doing
        try:
            return await doing
        finally:
            del self._shared[key]

    async def once(
        self, key: str, asked: str, work: Callable[[], Awaitable[Response]], bodies: Bodies = AS_THEY_ARE
    ) -> Response:
        """What ``work`` replies, or has replied before. ``asked`` is what must be the same, in a digest."""
        if key in self._doing:
            raise IdempotencyKeyBusy(
                "A request with this Idempotency-Key is being done.", "Send it again when that is done."
            )
        self._doing.add(key)
        try:
            if kept := await asyncio.to_thread(self._kept, key, asked, bodies):
                return kept
            response = await work()
            if response.status_code < 300:
                await asyncio.to_thread(self._keep, key, asked, response, bodies)
            return response
        finally:
            self._doing.discard(key)

    def close(self) -> None:
        self._database.close()

    def _kept(self, key: str, asked: str, bodies: Bodies) -> Response | None:
        query = "SELECT request, status, headers, body FROM replies WHERE key = ? AND at > ?"
        rows = self._database.rows(query, key, time.time() - KEPT_S)
        if not rows:
            return None
        request, status, headers, kept = rows[0]
        _same(request, asked)
        body = bodies.get(kept)
        return None if body is None else Response(body, status, json.loads(headers) | {REPLAYED: "true"})

    def _keep(self, key: str, asked: str, response: Response, bodies: Bodies) -> None:
        row = (
            key, asked, time.time(), response.status_code, json.dumps(_headers(response)), bodies.put(response)
        )  # fmt: skip
        with self._database.writing() as database:
            database.execute("DELETE FROM replies WHERE at <= ?", (time.time() - KEPT_S,))
            database.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?)", row)


def _same(asked_before: str, asked: str) -> None:
    if asked_before != asked:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for another request.", "Take a new key for each request."
        )


def _again(response: Response) -> Response:
    return Response(response.body, response.status_code, _headers(response) | {REPLAYED: "true"})


def _headers(response: Response) -> dict[str, str]:
    return {name: response.headers[name] for name in _HEADERS if name in response.headers}


class Once(APIRoute):
    """A route that depends on ONCE does what it is asked once for each key. Its body is held in memory."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get(HEADER, "")
            if not 0 < len(key) <= LONGEST:  # the handler says what is wrong with it
                return await handler(request)
            replies: Replies = request.state.replies
            asked = digest(request, await request.body())
            return await replies.once(key_of(request, key), asked, partial(handler, request))

        return once if ONCE in self.dependencies else handler


def key_of(request: Request, key: str) -> str:
    """Of this caller: nobody gets another one's reply."""
    return hashlib.sha256(f"{request.headers.get('authorization', '')}\n{key}".encode()).hexdigest()


def digest(request: Request, body: bytes) -> str:
    """Of all that a request asks for."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(asked + body).hexdigest()
