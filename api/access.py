"""One structured line per request."""

from __future__ import annotations

import json
import logging
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("openbook.access")


class AccessLog:
    """ASGI middleware; a reply carries its line's id as ``X-Request-Id``."""

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
        finally:
            line["seconds"] = round(time.perf_counter() - began, 4)
            # Probes come every few seconds and say nothing.
            level = logging.DEBUG if scope["path"] in ("/healthz", "/readyz") else logging.INFO
            log.log(level, "%s", json.dumps(line))
