"""The service as a process: bind, log, run, and stop in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import uvicorn

from api.access import is_loopback
from api.app import create_app
from rag.compose import open_rag
from rag.errors import BadSetting, PortInUse
from rag.settings import Settings

log = logging.getLogger(__name__)

# After a stop is asked for, how long requests in progress may take to finish.
GRACE_S = 5


def serve(settings: Settings) -> None:
    """Returns after SIGINT or SIGTERM, when everything that was started has ended.

    Raises PortInUse, DataFolderInUse and ModelNotInstalled before anything is served.
    """
    configure_logging()
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    with bound(settings.host, settings.port) as listening:
        # Opened out here, not in the lifespan: uvicorn prints what a lifespan raises as a traceback.
        async with open_rag(settings, "openbook serve") as engine:
            if not is_loopback(settings.host):
                log.warning("serving on %s: whoever reaches this address can ask and read", settings.host)
            app = create_app(
                lambda: nullcontext(engine),
                host=settings.host,
                url=url_of(settings),
                max_upload_bytes=settings.max_upload_bytes,
                warm_up=settings.warm_up,
            )
            config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S)
            await _Server(config).serve(sockets=[listening])
            log.info("stopping")


class _Server(uvicorn.Server):
    """Uvicorn raises a caught signal once more when it is done, which would end the process before the engine
    is closed. Here the handlers stay until the loop ends."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
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


def configure_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("httpx", "sentence_transformers", "filelock"):  # a line for each of their calls says nothing
        logging.getLogger(name).setLevel(logging.WARNING)
