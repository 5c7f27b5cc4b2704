"""The service over fakes on a real socket of loopback, found by other processes through its data folder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from api.app import create_app
from api.serve import bound, config_of
from rag.compose import Engine
from rag.owner import claim

START_S = 60


@dataclass(frozen=True)
class Live:
    url: str
    token: str
    data: Path


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def live(engine: Engine, roots: Sequence[Path] = ()) -> AsyncIterator[Live]:
    data = engine.owner.folder
    listening = bound("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with claim(data, "a test") as owner:
        owned = replace(engine, owner=owner)
        app = create_app(lambda: nullcontext(owned), url=url, roots=roots, warm_up=False)
        config = config_of(app)
        config.timeout_graceful_shutdown = 2
        server = _Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while owner.record.url is None:
            assert not running.done(), "the service did not start"
            await asyncio.sleep(0.01)
        try:
            yield Live(url, owner.record.token, data)
        finally:
            server.should_exit = True
            await running


@contextmanager
def served(engine: Engine) -> Iterator[Live]:
    """For those who do not wait on an event loop: it has one of its own, in a thread."""
    ready, ended = threading.Event(), threading.Event()
    started: list[Live] = []

    async def serve() -> None:
        try:
            async with asyncio.timeout(START_S) as starting, live(engine) as service:
                starting.reschedule(None)
                started.append(service)
                ready.set()
                await asyncio.to_thread(ended.wait)
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        ready.wait()
        assert started, "the service did not start"
        yield started[0]
    finally:
        ended.set()
        thread.join()
