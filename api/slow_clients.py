"""Clients that send or read so slowly that they only hold what others need: they are left.

Until a request's headers are there it is the connection's affair (``Connection``), then the application's
(``SlowBodies``). See Apache's mod_reqtimeout, whose rule for bodies this is.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

HEADERS_S = 15.0  # from the first byte, or the connection, to the end of a request's headers
BODY_S, BODY_RATE = (
    30.0,
    1000,
)  # for a body: so many seconds, and one more for each so many bytes that have come
SILENCE_S = 30.0  # between two pieces of a body
READ_S = 60.0  # for a client to make room for the next piece of a reply


class Connection(H11Protocol):
    """One whose client is slow to ask is closed."""

    _asking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._note_asking()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._note_asking()

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_asked()
        super().connection_lost(exc)

    def _note_asking(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._has_asked()
        elif self._asking is None:
            self._asking = self.loop.call_later(HEADERS_S, self.transport.close)

    def _has_asked(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None


class SlowBodies:
    """ASGI middleware: 408 for a body that comes too slowly, and the end of a reply that is not read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        replying = _Replying(send)
        try:
            await self._app(scope, _Receiving(receive), replying)
        except Exception:
            if not replying.is_left:
                raise
            log.info("a client did not read its reply")


class _Receiving:
    def __init__(self, receive: Receive) -> None:
        self._receive, self._bytes, self._is_whole = receive, 0, False
        self._began = asyncio.get_running_loop().time()

    async def __call__(self) -> Message:
        if self._is_whole:  # what comes now is that the client has gone
            return await self._receive()
        silent = asyncio.get_running_loop().time() + SILENCE_S
        try:
            async with asyncio.timeout_at(min(silent, self._began + BODY_S + self._bytes / BODY_RATE)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The body came too slowly.", {"Connection": "close"}) from None
        self._bytes += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        return message


class _Replying:
    def __init__(self, send: Send) -> None:
        self._send, self.is_left = send, False

    async def __call__(self, message: Message) -> None:
        try:
            async with asyncio.timeout(READ_S):
                await self._send(message)
        except TimeoutError:
            self.is_left = True
            raise
