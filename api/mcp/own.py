"""A service within this process, on a free port of loopback, which others find through the data folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from api import serve
from rag import owner
from rag.errors import ServiceUnreachable
from rag.settings import Settings
from rag.stopping import Stopping

HOST = "127.0.0.1"
LOOK_S = 0.05  # between two looks at whether it is up


class OwnService:
    """``doing`` is what it tells others that it is. It starts at once."""

    def __init__(self, settings: Settings, doing: str) -> None:
        # Not the address that `openbook serve` would take: this one comes and goes with its process.
        self._settings = settings.model_copy(update={"host": HOST})
        self._listening = serve.bound(HOST, 0)
        self._server: _Server | None = None
        url = f"http://{HOST}:{self._listening.getsockname()[1]}"
        running = serve.run(self._settings, self._listening, url, doing, self._made)
        self._running = asyncio.create_task(running)

    def _made(self, config: uvicorn.Config, stopping: Stopping, grace_s: float) -> serve.Server:
        self._server = _Server(config, stopping, grace_s)
        return self._server

    async def up(self) -> owner.Record:
        """Once it is. Raises why it could not start."""
        while not self._running.done():
            record = await asyncio.to_thread(owner.find, self._settings.data_dir)
            if record and record.url:
                return record
            await asyncio.sleep(LOOK_S)
        self._listening.close()
        await self._running
        raise ServiceUnreachable("The service ended as soon as it had begun.", "openbook doctor says more.")

    async def close(self) -> None:
        """Returns when all that it started has ended."""
        if self._server:
            self._server.should_exit = True
        else:
            self._running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._running


class _Server(serve.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are for the process that it is part of
