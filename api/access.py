"""What every request passes through: one structured line, an id, the last catch of errors, the host check."""

from __future__ import annotations

import ipaddress
import json
import logging
import time
import uuid
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems

log = logging.getLogger("openbook.access")


class AccessLog:
    """ASGI middleware, the outermost; a reply carries its line's id as ``X-Request-Id``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        line = {
            "request": uuid.uuid4().hex[:12],
            "method": scope["method"],
            "path": scope["path"],
            "status": 0,
        }

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                line["status"] = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", str(line["request"]).encode())]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("request %s failed", line["request"])
            if line["status"]:  # the reply has begun: to break it off is all that can be done
                raise
            await problems.unexpected()(scope, receive, noting)
        finally:
            line["seconds"] = round(time.perf_counter() - began, 4)
            # Probes come every few seconds and say nothing.
            level = logging.DEBUG if scope["path"] in ("/healthz", "/readyz") else logging.INFO
            log.log(level, "%s", json.dumps(line))


class SmallBodiesOnly:
    """ASGI middleware: a body is read into memory before it is looked at, so its size is bounded; but for those of the
    paths ``streamed``, which count for themselves."""

    def __init__(self, app: ASGIApp, limit: int, streamed: Collection[str]) -> None:
        self._app, self._limit, self._streamed = app, limit, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") in self._streamed:
            await self._app(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, f"The body is over {self._limit:,} bytes.")
            return message

        await self._app(scope, counted, send)


class OwnNamesOnly:
    """ASGI middleware of a service on loopback: a web page must not reach it by a name that it made resolve to
    127.0.0.1. An address in the Host header is harmless, since no name was resolved."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app, self._host = app, host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_ours(Headers(scope=scope).get("host", "")):
            reply = problems.http(
                400, f"This service is reached as {self._host}.", "Set the Host header to that."
            )
            await reply(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == self._host or is_loopback(name)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
