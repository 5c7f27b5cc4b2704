"""MCP over streamable HTTP as a path of the service. It asks REST, as whom the client shows itself to be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"
MOST_SESSIONS = 256


class Mounted:
    """Of one lifespan of ``app``. The MCP library is loaded with the first request: that takes as long as half of the
    service's start, which most services do not need."""

    def __init__(self, app: ASGIApp, roots: Sequence[Path]) -> None:
        self._app, self._roots = app, roots
        self._wanted = asyncio.Event()
        self._manager: asyncio.Future[StreamableHTTPSessionManager] = asyncio.Future()

    async def run(self, state: Mapping[str, Any]) -> None:
        """Sessions live until this is cancelled. ``state`` is the lifespan's."""
        await self._wanted.wait()
        try:
            async with _manager(self._app, state, self._roots) as manager:
                self._manager.set_result(manager)
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001 who waits for it is told
            self._manager.set_exception(error)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._wanted.set()
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)


class Endpoint:
    """An ASGI application, which a plain function of a route would not be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["state"]["mcp"].handle(scope, receive, send)


@asynccontextmanager
async def _manager(
    app: ASGIApp, state: Mapping[str, Any], roots: Sequence[Path]
) -> AsyncIterator[StreamableHTTPSessionManager]:
    await asyncio.to_thread(__import__, "api.mcp.server")
    from mcp.server.transport_security import TransportSecuritySettings

    from api.mcp.rest import Rest, Where
    from api.mcp.server import mcp_server
    from api.mcp.tools import Tools

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    async def here() -> Where:
        return Where("http://127.0.0.1")

    rest = Rest(here, httpx.ASGITransport(with_state))
    server = mcp_server(Tools(rest, roots))
    # Names and origins have been checked before (api/access.py), also where the service is not on loopback.
    checked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    server.streamable_http_app(
        streamable_http_path=PATH, max_sessions=MOST_SESSIONS, transport_security=checked
    )
    try:
        async with server.session_manager.run():
            yield server.session_manager
    finally:
        await rest.close()
