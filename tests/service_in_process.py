"""The service without sockets: the application within its lifespan, as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from api.app import create_app
from api.authentication import DEFAULT, Access
from api.tracing import Tracing
from ingest.web_file import Web
from rag.compose import Engine
from rag.settings import MAX_UPLOAD_BYTES


@asynccontextmanager
async def serving(
    engine: Engine,
    *,
    host: str = "127.0.0.1",
    roots: Sequence[Path] = (),
    web: Web | None = None,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    tracing: Tracing | None = None,
    access: Access = DEFAULT,
) -> AsyncIterator[ASGIApp]:
    app = create_app(
        lambda: nullcontext(engine),
        host=host,
        roots=roots,
        web=web,
        max_upload_bytes=max_upload_bytes,
        access=access,
        warm_up=False,
        tracing=tracing,
    )
    async with within(app) as running:
        yield running


@asynccontextmanager
async def within(app: FastAPI) -> AsyncIterator[ASGIApp]:
    """Every request gets the lifespan's state, as a server would see to."""

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    async with app.router.lifespan_context(app) as yielded:
        state = {**(yielded or {})}
        yield with_state
