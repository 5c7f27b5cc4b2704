"""MCP over standard input and output. It speaks to the service that runs on the data folder; where none does, it runs
one of its own until the client goes, which other commands and clients find like any other."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from typing import TYPE_CHECKING

from api.logs import configure_logging
from api.mcp.rest import Rest, Where
from api.mcp.server import mcp_server
from api.mcp.tools import Tools
from rag import owner
from rag.errors import DataFolderInUse
from rag.settings import Settings

if TYPE_CHECKING:
    from api.mcp.own import OwnService

LOOK_S = 0.05  # between two looks at whether a service is up
START_S = 60.0  # that one which is starting is waited for
DOING = "openbook mcp serve"


def run(settings: Settings) -> None:
    """Returns when the client has closed standard input. Nothing but the protocol goes to standard output."""
    configure_logging(logging.WARNING)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    services = Services(settings)
    rest = Rest(services.find)
    server = mcp_server(Tools(rest, settings.roots))
    speaking = asyncio.create_task(server.run_stdio_async())
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait([speaking, waiting], return_when=asyncio.FIRST_COMPLETED)
    await rest.close()
    await services.close()
    if not speaking.done():
        os._exit(0)  # the thread that reads standard input cannot be woken, and the loop would wait for it
    waiting.cancel()
    await speaking


class Services:
    """Finds the service of a data folder, and makes one where there is none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: OwnService | None = None
        self._starting = asyncio.Lock()

    async def find(self) -> Where:
        """Raises DataFolderInUse where another command is at work on it, and what starting one raises."""
        record = await self._owner()
        if record is None:
            async with self._starting:
                record = await self._owner() or await self._started()
        if record.url is None:
            raise DataFolderInUse.of(self._settings.data_dir, record.pid, record.doing)
        return Where(record.url, record.token)

    async def _owner(self) -> owner.Record | None:
        """A service that is starting is waited for."""
        until = time.monotonic() + START_S
        while True:
            record = await asyncio.to_thread(owner.find, self._settings.data_dir)
            starting = record and record.url is None and record.doing in (DOING, "openbook serve")
            if not starting or time.monotonic() > until:
                return record
            await asyncio.sleep(LOOK_S)

    async def _started(self) -> owner.Record:
        # Loaded where none runs: a client that finds one is not kept waiting for it.
        from api.mcp.own import OwnService

        self._own = OwnService(self._settings, DOING)
        try:
            return await self._own.up()
        except Exception:
            self._own = None  # it has ended; while a call that is cancelled leaves it to start
            raise

    async def close(self) -> None:
        if self._own:
            await self._own.close()
