"""What the service is made of while it runs: opened when it starts, put away when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypedDict

from fastapi import FastAPI

from api.authentication import Access
from api.drawing import Drawing
from api.embedder_state import EmbedderState
from api.idempotency import Replies
from api.job_runner import JobRunner
from api.keys import FILE, Keys
from api.lag import Lag
from api.mcp.mount import Mounted
from api.metrics import Metrics
from api.observe import Observed
from api.rates import Rates
from api.scraped import Scraped
from api.tracing import Tracing
from api.warmer import Warmer
from ingest import catalog
from ingest.jobs import Jobs
from ingest.run import begin
from ingest.uploads import Uploads
from ingest.web_file import Web
from rag.compose import Engine

log = logging.getLogger(__name__)

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


@asynccontextmanager
async def lifespan(
    app: FastAPI,
    open_engine: OpenEngine,
    access: Access,
    *,
    url: str | None,
    max_upload_bytes: int,
    web: Web | None,
    warm_up: bool,
    roots: Sequence[Path],
    tracing: Tracing | None,
) -> AsyncIterator[State]:
    """What requests get as ``request.state``; the arguments are those of ``api.app.create_app``."""
    async with open_engine() as engine:
        await engine.children.start()
        loading = asyncio.create_task(asyncio.to_thread(engine.preload))
        with _databases(engine.owner.folder) as (keys, jobs, replies), closing(Drawing()) as drawing:
            uploads = Uploads(engine.owner.folder, engine.rag.collection_settings.identity)
            await asyncio.to_thread(uploads.recover, jobs)
            metrics = Metrics()
            engine.rag.observer = Observed(metrics, tracing)
            lag = Lag(metrics.lag.observe)
            writing = asyncio.Lock()
            warmer = Warmer(engine, automatic=warm_up)
            state = State(
                engine=engine,
                keys=keys,
                rates=Rates(access.requests_per_minute, access.tokens_per_minute),
                roots=tuple(roots),
                drawing=drawing,
                loading=loading,
                embedder_state=EmbedderState(engine.check_embedder),
                writing=writing,
                runner=JobRunner(
                    jobs, partial(begin, engine), writing, changed=warmer.wake, told=metrics.file
                ),
                uploads=uploads,
                replies=replies,
                max_upload_bytes=max_upload_bytes,
                web=web,
                warmer=warmer,
                mcp=Mounted(app, roots),
                metrics=metrics,
                scraped=_scraped(engine, lag, jobs),
                tracing=tracing,
            )
            metrics.registry.register(state["scraped"])
            beside = _begun(state, lag)
            if url:  # what the process before left half done has been put right by now
                engine.owner.announce(url)
                log.info("openbook answers at %s", url)
            try:
                yield state
            finally:
                await _ended(state, beside)


@contextmanager
def _databases(folder: Path) -> Iterator[tuple[Keys, Jobs, Replies]]:
    with (
        closing(Keys(folder / FILE)) as keys,
        closing(Jobs(folder / "jobs.db")) as jobs,
        closing(Replies(folder)) as replies,
    ):
        yield keys, jobs, replies


def _scraped(engine: Engine, lag: Lag, jobs: Jobs) -> Scraped:
    gates = {each.name: each.serving.gate for each in engine.rag.models}
    return Scraped(gates, lag, jobs.by_state, partial(catalog.counts, engine.rag.store))


def _begun(state: State, lag: Lag) -> list[asyncio.Task[None]]:
    """What goes on beside requests."""
    beside = [asyncio.create_task(each.run()) for each in (state["runner"], state["warmer"], lag)]
    for task in beside[:2]:  # what they do is put back, or not missed
        state["engine"].rag.stopping.on_begin(task.cancel)
    return [*beside, asyncio.create_task(state["mcp"].run(state))]


async def _ended(state: State, beside: Sequence[asyncio.Task[None]]) -> None:
    for task in beside:
        task.cancel()
    await asyncio.wait([state["loading"], *beside])
    await state["scraped"].close()
    await state["embedder_state"].close()
    async with state["writing"]:  # a write that was broken off ends its step before the store is closed
        pass
