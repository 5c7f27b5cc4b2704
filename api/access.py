"""What every request passes through: an id and one structured line, the last catch of errors, the checks of host and
origin, and the end of the service."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Collection
from contextlib import nullcontext
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.metrics import Metrics
from api.record import CURRENT, OTHER, REQUEST_ID, Record, id_of
from api.tracing import Tracing
from rag.correlation import Correlation, correlated
from rag.stopping import Stopping

log = logging.getLogger("openbook.access")

SAFE = ("GET", "HEAD", "OPTIONS")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
QUIET = ("/healthz", "/readyz", "/metrics")
WHILE_STOPPING = ("/healthz", "/metrics")  # what is answered to the end


class AccessLog:
    """ASGI middleware, the outermost: a request has an id, which its reply carries as ``X-Request-Id`` and the model
    server is given on, and when it has been served, a line, its metrics and the end of its span."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, state = Headers(scope=scope), scope["state"]
        metrics: Metrics = state["metrics"]
        tracing: Tracing | None = state["tracing"]
        record = Record(id_of(headers.get(REQUEST_ID)), method_of(scope))
        given_on = tracing.begin(record, headers) if tracing else {}
        token = CURRENT.set(record)
        try:
            with correlated(Correlation(record.id, given_on)), metrics.in_progress.track_inprogress():
                await self._serve(record, scope, receive, send)
        finally:
            CURRENT.reset(token)
            record.route = route_of(scope)
            if caller := state.get("caller"):
                record.noted["key"] = caller.name
            line = record.line()
            metrics.request(record, line["seconds"])
            if tracing:
                tracing.end(record)
            # Probes come every few seconds and say nothing.
            level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
            log.log(level, "%s", json.dumps(line), extra={"fields": line})

    async def _serve(self, record: Record, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID.encode(), record.id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("request %s failed", record.id)
            record.error = record.error or "RagError"
            if record.status:  # the reply has begun: to break it off is all that can be done
                raise
            await problems.unexpected()(scope, receive, noting)


def method_of(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER


def route_of(scope: Scope) -> str:
    """The template of the path that was found for a request."""
    route = scope.get("route")
    return str(getattr(route, "path", "")) or OTHER


class WhileServing:
    """ASGI middleware: when the service is about to stop, new requests are told so, and those that it has are
    finished. Not waited for is who listens for what agents may be told one day."""

    def __init__(self, app: ASGIApp, listening: str) -> None:
        self._app, self._listening = app, listening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stopping: Stopping = scope["state"]["engine"].rag.stopping
        if stopping.begun and scope["path"] not in WHILE_STOPPING:
            await problems.stopping(scope["path"])(scope, receive, send)
            return
        listens = scope["method"] == "GET" and scope["path"] == self._listening
        with nullcontext() if listens else stopping.work():
            await self._app(scope, receive, send)


class SmallBodiesOnly:
    """ASGI middleware: a body is read into memory before it is looked at, so its size is bounded; but for those of
    paths that are ``streamed``, which count for themselves."""

    def __init__(self, app: ASGIApp, limit: int, streamed: re.Pattern[str]) -> None:
        self._app, self._limit, self._streamed = app, limit, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streamed.fullmatch(scope.get("path", "")):
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


class OwnOriginsOnly:
    """ASGI middleware: a web page of another site must not change anything here, nor speak to the ``guarded`` paths at
    all. Browsers name the page's site in the Origin header, programs send none. Beyond this machine a name that was
    made to resolve here looks like one of its own: such a page has no key, and reaches no guarded path."""

    def __init__(self, app: ASGIApp, guarded: Collection[str], allowed: Collection[str] = ()) -> None:
        self._app, self._guarded, self._allowed = app, guarded, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is not None and not self._may(origin, scope, headers):
            reply = problems.http(
                403, f"Pages of {origin[:200]} have no access.", "Programs send no Origin header."
            )
            await reply(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may(self, origin: str, scope: Scope, headers: Headers) -> bool:
        guarded = scope["path"] in self._guarded
        if origin in self._allowed or (scope["method"] in SAFE and not guarded):
            return True
        try:
            site = urlsplit(origin)
            own = site.netloc == headers.get("host", "")
            return own and (is_loopback(site.hostname or "") or not guarded)
        except ValueError:
            return False


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
