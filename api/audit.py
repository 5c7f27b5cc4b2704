"""Who wrote what: a line of JSON for each write, in the data folder. What was written is not in it."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import SAFE
from api.caller import Caller
from api.rules import rule_of
from rag import jsonl

log = logging.getLogger(__name__)

FILE = "audit.jsonl"  # in the data folder


class Audit:
    """ASGI middleware, behind authentication. A write whose line cannot be written is done all the same, and the
    service's log says so."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if scope["type"] == "http" and scope["method"] not in SAFE and _writes(scope):
                folder: Path = scope["state"]["engine"].owner.folder
                await asyncio.shield(asyncio.to_thread(_note, folder / FILE, _line(scope, status)))


def _writes(scope: Scope) -> bool:
    route = scope.get("route")
    rule = rule_of(route) if route else None
    return route is not None and (rule is None or rule.writes)


def _line(scope: Scope, status: int) -> dict[str, Any]:
    caller: Caller | None = scope["state"]["caller"]
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "by": caller.name if caller else None,
        "key": caller.key if caller else None,
        "method": scope["method"],
        "route": scope["route"].path,
        "collections": scope["state"].get("collections", []),
        "status": status,
    }


def _note(path: Path, line: dict[str, Any]) -> None:
    try:
        jsonl.append(path, line)
    except OSError as error:
        log.error("a write is not in %s: %s", path, error)  # noqa: TRY400 the line says all
