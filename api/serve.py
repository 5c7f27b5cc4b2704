"""The service as a process: bind, log, run, and stop in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module

import uvicorn
from starlette.types import ASGIApp

from api.access import is_loopback
from api.app import create_app
from api.authentication import Access
from api.keys import FILE, Keys
from api.logs import configure_logging
from api.page_cli import link
from api.slow_clients import READ_S, Connection
from api.tracing import Tracing, tracing
from ingest.web_file import Web
from rag import garbage
from rag.compose import open_rag
from rag.errors import BadSetting, PortInUse
from rag.settings import Settings
from rag.stopping import Stopping

log = logging.getLogger(__name__)

SWITCH_S = 0.0005  # see docs/log.md, "A crowd"
IDLE_S = 5  # that a connection is kept without a request
CLOSE_S = 5  # after all that is waited for has finished: for connections to end


def serve(settings: Settings) -> None:
    """Returns after SIGINT or SIGTERM, when everything that was started has ended.

    Raises PortInUse, DataFolderInUse, ModelNotInstalled and NotEnoughMemory before anything is served.
    """
    configure_logging(getattr(logging, settings.log_level.upper()), settings.log_format)
    # The event loop gives the interpreter's lock away at each write to a socket, and among threads that compute it
    # waits for it as long as this.
    sys.setswitchinterval(SWITCH_S)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    with bound(settings.host, settings.port) as listening:
        _check_keys(settings)
        await run(settings, listening, url_of(settings), "openbook serve", Server)


def _check_keys(settings: Settings) -> None:
    """Raises BadSetting where others could reach the service and nobody has a key."""
    with closing(Keys(settings.data_dir / FILE)) as keys:
        if not (is_loopback(settings.host) or keys.any_valid()):
            raise BadSetting(
                f"On {settings.host} others reach the service, which needs a key then, and there is none.",
                "Make one with: openbook keys add NAME; or serve this machine alone, on 127.0.0.1.",
            )


async def run(
    settings: Settings,
    listening: socket.socket,
    url: str,
    doing: str,
    server: Callable[[uvicorn.Config, Stopping, float], Server],
) -> None:
    """Until the server is told to stop. Other processes find it at ``url`` once it is up."""
    # Opened out here, not in the lifespan: uvicorn prints what a lifespan raises as a traceback.
    async with traced() as traces, open_rag(settings, doing) as engine:
        await asyncio.to_thread(engine.children.check)
        settling = replace(engine, preload=partial(_settle, engine.preload))
        app = create_app(
            lambda: nullcontext(settling),
            host=settings.host,
            url=url,
            max_upload_bytes=settings.max_upload_bytes,
            web=Web() if settings.url_uploads else None,
            warm_up=settings.warm_up,
            roots=settings.roots,
            tracing=traces,
            access=Access(
                settings.require_key,
                settings.cors_origins,
                settings.requests_per_minute,
                settings.tokens_per_minute,
            ),
        )
        if sys.stdout.isatty():  # never into a log: it has the owner's key
            print(link(url, engine.owner.record.token))  # noqa: T201
        await server(config_of(app), engine.rag.stopping, settings.stop_grace_s).serve(sockets=[listening])
        log.info("stopping")


def _settle(preload: Callable[[], None]) -> None:
    preload()
    # Else the first answer does, of whose cost is learned, and everybody waits.
    import_module("scipy.optimize")
    gc.collect()
    garbage.set_aside()


@asynccontextmanager
async def traced() -> AsyncIterator[Tracing | None]:
    """What has not been sent when it ends is sent then."""
    made = tracing()
    try:
        yield made
    finally:
        if made:
            await asyncio.to_thread(made.close)


def config_of(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        lifespan="on",  # where it fails, so does the start
        log_config=None,
        access_log=False,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=CLOSE_S,
    )


class Server(uvicorn.Server):
    """Told to stop, it goes on until what it is doing has finished, ``grace_s`` seconds at most; told again, it breaks
    that off."""

    def __init__(self, config: uvicorn.Config, stopping: Stopping, grace_s: float) -> None:
        super().__init__(config)
        self._stopping, self._grace_s = stopping, grace_s
        self._draining: asyncio.Task[None] | None = None

    def stop(self, number: int) -> None:
        if self._draining:
            self._stopping.break_off()
            return
        log.info("stopping: what is going on has %g s to finish", self._grace_s)
        self._draining = asyncio.create_task(self._drain(number))

    async def _drain(self, number: int) -> None:
        await self._stopping.drained(self._grace_s)
        self.handle_exit(number, None)  # which also ends what agents listen to

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn raises a caught signal once more when it is done, which would end the process before the engine is
        closed. Here the handlers stay until the loop ends."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.stop, number)
        yield


def url_of(settings: Settings) -> str:
    """Where this machine reaches the service."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
    return (
        f"http://[{host}]:{settings.port}"
        if host.count(":") > 1 and host[0] != "["
        else f"http://{host}:{settings.port}"
    )


def bound(host: str, port: int) -> socket.socket:
    """A listening socket; connections made before the service is up wait in its queue."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small pieces at once on sockets of this very protocol alone; else they wait 40 ms for the client.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A client that reads nothing any more is gone for the kernel, too.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(READ_S * 1000))
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse.of(host, port) from error
        raise BadSetting(
            f"Cannot listen on {host}:{port}: {error.strerror}.", "Set OPENBOOK_HOST and OPENBOOK_PORT."
        ) from error
    return listening
