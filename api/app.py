"""The service: ``create_app(open_engine)`` builds it, its lifespan opens the engine and closes it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from api import problems, routes
from api.access import AccessLog
from rag.compose import Engine

log = logging.getLogger(__name__)

OpenEngine = Callable[[], AbstractAsyncContextManager[Engine]]


class State(TypedDict):
    engine: Engine
    loading: asyncio.Task[None]
    writing: asyncio.Lock


def create_app(open_engine: OpenEngine, *, host: str = "127.0.0.1", url: str | None = None) -> FastAPI:
    """``url`` is where the service will be reached; other processes of this user are told once it is up."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        async with open_engine() as engine:
            if engine.server:
                await engine.server.start()
            loading = asyncio.create_task(asyncio.to_thread(engine.preload))
            if url:
                engine.owner.announce(url)
                log.info("openbook answers at %s", url)
            try:
                yield {"engine": engine, "loading": loading, "writing": asyncio.Lock()}
            finally:
                await asyncio.wait([loading])

    app = FastAPI(
        title="openbook",
        version=version("openbook"),
        summary="Long-context question answering over your documents and code, with citations to check.",
        lifespan=lifespan,
    )
    app.include_router(routes.router)
    problems.install(app)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts(host))
    app.add_middleware(AccessLog)
    return app


def allowed_hosts(host: str) -> list[str]:
    """On loopback only its own names: a web page must not reach the service by a name that it made resolve
    to 127.0.0.1. Elsewhere any, since the machine's names are not known."""
    return ["127.0.0.1", "localhost", "[::1]", "testserver", host] if is_loopback(host) else ["*"]


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
