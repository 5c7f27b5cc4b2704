"""The service: ``create_app(open_engine)`` builds it, its lifespan opens the engine and closes it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from api import (
    answer_routes,
    backup_routes,
    code_routes,
    collection_routes,
    context_routes,
    conversation_routes,
    document_routes,
    forecast_routes,
    job_routes,
    observe_routes,
    page_routes,
    problems,
    reference,
    refresh_routes,
    routes,
    source_routes,
    target_routes,
    upload_routes,
    url_upload_routes,
    warm_routes,
)
from api.access import AccessLog, OwnNamesOnly, OwnOriginsOnly, SmallBodiesOnly, WhileServing, is_loopback
from api.audit import Audit
from api.authentication import DEFAULT, Access, Authentication
from api.drawing import Drawing
from api.embedder_state import EmbedderState
from api.headers import SecurityHeaders
from api.idempotency import Replies
from api.job_runner import JobRunner
from api.keys import FILE, Keys
from api.lag import Lag
from api.mcp import mount
from api.mcp.mount import Mounted
from api.metrics import Metrics
from api.observe import Observed
from api.openai import completions, models, responses, stored_responses, vectors
from api.rates import Rates
from api.rules import OWNERS, authorized, public_paths, rule_of
from api.schemas import ConfirmationProblem, Problem
from api.scraped import Scraped
from api.slow_clients import SlowBodies
from api.tracing import Tracing
from api.warmer import Warmer
from ingest import catalog
from ingest.jobs import Jobs
from ingest.run import begin
from ingest.uploads import Uploads
from ingest.web_file import Web
from rag.compose import Engine
from rag.settings import MAX_UPLOAD_BYTES

log = logging.getLogger(__name__)

STREAMED = re.compile(rf"{upload_routes.PATH}|/v1/collections/[^/]+/documents/[^/]+")
KEY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "A key that `openbook keys add` has made, or the token in owner.json of the data folder. "
    "Without any, who is on the same machine may read and ask, unless OPENBOOK_REQUIRE_KEY is set.",
}
MAX_BODY_BYTES = 1 << 20  # a question, or a list of paths

OpenEngine = Callable[[], AbstractAsyncContextManager[Engine]]


class State(TypedDict):
    engine: Engine
    keys: Keys
    rates: Rates
    roots: tuple[Path, ...]
    runner: JobRunner
    uploads: Uploads
    replies: Replies
    max_upload_bytes: int
    web: Web | None
    drawing: Drawing
    loading: asyncio.Task[None]
    embedder_state: EmbedderState
    writing: asyncio.Lock
    warmer: Warmer
    mcp: Mounted
    metrics: Metrics
    scraped: Scraped
    tracing: Tracing | None


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """With the schemas that error replies point to, which FastAPI would list under a media type of its own, and
        with who needs a key."""
        document = super().openapi()
        document["components"]["securitySchemes"] = {"key": KEY_SCHEME}
        for route in self.routes:
            if isinstance(route, APIRoute) and route.include_in_schema:
                rule = rule_of(route) or OWNERS
                for method in route.methods:
                    document["paths"][route.path_format][method.lower()]["security"] = rule.security
        for kind in (Problem, ConfirmationProblem):
            schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
            document["components"]["schemas"] |= schema.pop("$defs", {}) | {kind.__name__: schema}
        return document


def create_app(
    open_engine: OpenEngine,
    *,
    host: str = "127.0.0.1",
    url: str | None = None,
    max_upload_bytes: int = MAX_UPLOAD_BYTES,
    web: Web | None = None,
    warm_up: bool = True,
    roots: Sequence[Path] = (),
    tracing: Tracing | None = None,
    access: Access = DEFAULT,
) -> FastAPI:
    """``url`` is where the service will be reached; other processes of this user are told once it is up. ``warm_up``:
    unasked, too. ``web`` fetches files, where that is allowed. ``roots`` are the folders that MCP clients may have
    ingested."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        writing = asyncio.Lock()
        async with open_engine() as engine:
            await engine.children.start()
            loading = asyncio.create_task(asyncio.to_thread(engine.preload))
            embedder_state = EmbedderState(engine.check_embedder)
            uploads = Uploads(engine.owner.folder, engine.rag.collection_settings.identity)
            keys = Keys(engine.owner.folder / FILE)
            with (
                closing(keys),
                closing(Jobs(engine.owner.folder / "jobs.db")) as jobs,
                closing(Replies(engine.owner.folder)) as replies,
                closing(Drawing()) as drawing,
            ):
                await asyncio.to_thread(uploads.recover, jobs)
                metrics = Metrics()
                engine.rag.observer = Observed(metrics, tracing)
                lag = Lag(metrics.lag.observe)
                sizes = partial(catalog.counts, engine.rag.store)
                gates = {each.name: each.serving.gate for each in engine.rag.models}
                scraped = Scraped(gates, lag, jobs.by_state, sizes)
                metrics.registry.register(scraped)
                warmer = Warmer(engine, automatic=warm_up)
                runner = JobRunner(
                    jobs, partial(begin, engine), writing, changed=warmer.wake, told=metrics.file
                )
                beside = [asyncio.create_task(each.run()) for each in (runner, warmer, lag)]
                for task in beside[:2]:  # what they do is put back, or not missed
                    engine.rag.stopping.on_begin(task.cancel)
                state = State(
                    engine=engine,
                    keys=keys,
                    rates=Rates(access.requests_per_minute, access.tokens_per_minute),
                    roots=tuple(roots),
                    drawing=drawing,
                    loading=loading,
                    embedder_state=embedder_state,
                    writing=writing,
                    runner=runner,
                    uploads=uploads,
                    replies=replies,
                    max_upload_bytes=max_upload_bytes,
                    web=web,
                    warmer=warmer,
                    mcp=Mounted(app, roots),
                    metrics=metrics,
                    scraped=scraped,
                    tracing=tracing,
                )
                beside.append(asyncio.create_task(state["mcp"].run(state)))
                if url:  # what the process before left half done has been put right by now
                    engine.owner.announce(url)
                    log.info("openbook answers at %s", url)
                try:
                    yield state
                finally:
                    for task in beside:
                        task.cancel()
                    await asyncio.wait([loading, *beside])
                    await scraped.close()
                    await embedder_state.close()
                    async with (
                        writing
                    ):  # a write that was broken off ends its step before the store is closed
                        pass

    app = Api(
        title="openbook",
        version=version("openbook"),
        summary="Long-context question answering over your documents and code, with citations to check.",
        lifespan=lifespan,
        dependencies=[Depends(authorized)],
        docs_url=None,  # both fetch scripts from elsewhere
        redoc_url=None,
    )
    app.include_router(routes.router)
    app.include_router(answer_routes.router)
    app.include_router(collection_routes.router)
    app.include_router(document_routes.router)
    app.include_router(conversation_routes.router)
    app.include_router(job_routes.router)
    app.include_router(refresh_routes.router)
    app.include_router(upload_routes.router)
    app.include_router(url_upload_routes.router)
    app.include_router(target_routes.router)
    app.include_router(source_routes.router)
    app.include_router(context_routes.router)
    app.include_router(forecast_routes.router)
    app.include_router(page_routes.router)
    app.include_router(reference.router)
    app.router.routes.append(page_routes.files)
    app.include_router(warm_routes.router)
    app.include_router(code_routes.router)
    app.include_router(backup_routes.router)
    app.include_router(observe_routes.router)
    for each in (models, completions, responses, stored_responses, vectors):
        app.include_router(each.router)
    app.router.routes.append(Route(mount.PATH, endpoint=mount.Endpoint(), include_in_schema=False))
    problems.install(app)
    app.add_middleware(WhileServing, listening=mount.PATH)
    app.add_middleware(SmallBodiesOnly, limit=MAX_BODY_BYTES, streamed=STREAMED)
    app.add_middleware(SlowBodies)
    app.add_middleware(Audit)
    local = is_loopback(host) and not access.require_key
    app.add_middleware(Authentication, public=public_paths(app.routes), local=local)
    app.add_middleware(OwnOriginsOnly, guarded=[mount.PATH], allowed=access.origins)
    if access.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=access.origins, allow_methods=["*"], allow_headers=["*"]
        )
    if is_loopback(host):  # elsewhere the machine's names are not known
        app.add_middleware(OwnNamesOnly, host=host)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(AccessLog)
    return app
