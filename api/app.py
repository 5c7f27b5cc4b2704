"""The service: ``create_app(open_engine)`` builds it, its lifespan opens the engine and closes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from importlib.metadata import version
from typing import Any, TypedDict

from fastapi import FastAPI

from api import (
    conversation_routes,
    job_routes,
    problems,
    routes,
    target_routes,
    upload_routes,
    warm_routes,
)
from api.access import AccessLog, OwnNamesOnly, SmallBodiesOnly, is_loopback
from api.job_runner import JobRunner
from api.schemas import Problem
from api.warmer import Warmer
from ingest.jobs import Jobs
from ingest.run import begin
from ingest.uploads import Uploads
from rag.compose import Engine
from rag.settings import MAX_UPLOAD_BYTES

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20  # a question, or a list of paths

OpenEngine = Callable[[], AbstractAsyncContextManager[Engine]]


class State(TypedDict):
    engine: Engine
    runner: JobRunner
    uploads: Uploads
    max_upload_bytes: int
    loading: asyncio.Task[None]
    writing: asyncio.Lock
    warmer: Warmer


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """With the schema that error replies point to: FastAPI would list it under a media type of its own."""
        document = super().openapi()
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schema.pop("$defs", {}) | {"Problem": schema}
        return document


def create_app(
    open_engine: OpenEngine,
    *,
    host: str = "127.0.0.1",
    url: str | None = None,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    warm_up: bool = True,
) -> FastAPI:
    """``url`` is where the service will be reached; other processes of this user are told once it is up. ``warm_up``:
    unasked, too."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        writing = asyncio.Lock()
        async with open_engine() as engine:
            if engine.server:
                await engine.server.start()
            loading = asyncio.create_task(asyncio.to_thread(engine.preload))
            uploads = Uploads(engine.owner.folder)
            with closing(Jobs(engine.owner.folder / "jobs.db")) as jobs:
                await asyncio.to_thread(uploads.recover, jobs)
                warmer = Warmer(engine, automatic=warm_up)
                runner = JobRunner(jobs, partial(begin, engine), writing, changed=warmer.wake)
                running = asyncio.create_task(runner.run())
                warming = asyncio.create_task(warmer.run())
                if url:  # what the process before left half done has been put right by now
                    engine.owner.announce(url)
                    log.info("openbook answers at %s", url)
                try:
                    yield {
                        "engine": engine,
                        "loading": loading,
                        "writing": writing,
                        "runner": runner,
                        "uploads": uploads,
                        "max_upload_bytes": max_upload_bytes,
                        "warmer": warmer,
                    }
                finally:
                    running.cancel()
                    warming.cancel()
                    await asyncio.wait([loading, running, warming])
                    async with (
                        writing
                    ):  # a write that was broken off ends its step before the store is closed
                        pass

    app = Api(
        title="openbook",
        version=version("openbook"),
        summary="Long-context question answering over your documents and code, with citations to check.",
        lifespan=lifespan,
    )
    app.include_router(routes.router)
    app.include_router(conversation_routes.router)
    app.include_router(job_routes.router)
    app.include_router(upload_routes.router)
    app.include_router(target_routes.router)
    app.include_router(warm_routes.router)
    problems.install(app)
    app.add_middleware(SmallBodiesOnly, limit=MAX_BODY_BYTES, streamed=[upload_routes.PATH])
    if is_loopback(host):  # elsewhere the machine's names are not known
        app.add_middleware(OwnNamesOnly, host=host)
    app.add_middleware(AccessLog)
    return app
