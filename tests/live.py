"""The service over fakes on a real socket of loopback, found by other processes through its data folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from api.app import create_app
from api.serve import bound, config_of
from rag.compose import Engine
from rag.owner import claim


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
