"""An engine to measure: everything as settings say, but over a store of its own that goes when it is done."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from rag.answer import Rag
from rag.compose import (
    chat_client,
    costs,
    embedder_of,
    limits,
    managed_server,
    token_counter,
)
from rag.models.embed_cache import CachedEmbedder
from rag.models.vllm_process import VllmProcess
from rag.served import Models
from rag.settings import Settings
from rag.store.edge import EdgeStore

# A store waits for the disk at every document; nothing of this one is to be kept.
MEMORY = Path("/dev/shm")
NEEDED_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Bench:
    """``server`` is the managed model server, started by whoever asks; None where settings name another."""

    rag: Rag
    server: VllmProcess | None


@asynccontextmanager
async def open_bench(settings: Settings) -> AsyncIterator[Bench]:
    """The user's collections are not opened, so a service may be running on them. Vectors that were computed
    before are taken from the data folder's cache and new ones kept there, so a second run is quick."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(scratch(_memory() or Path(tempfile.gettempdir())))
        embedder = embedder_of(settings)
        vectors = settings.data_dir / "cache" / "embeddings.sqlite3"
        cached = CachedEmbedder(embedder, vectors, identity=embedder.identity)
        stack.callback(cached.close)
        store = EdgeStore(folder / "collections", embedder=embedder.name, dimension=embedder.dimension)
        stack.callback(store.close)
        server = managed_server(settings) if settings.llm_url is None else None
        if server:
            stack.push_async_callback(server.stop)
        tokens = await asyncio.to_thread(token_counter, settings, stack)
        generator = chat_client(settings, server, tokens.encode)
        stack.push_async_callback(generator.close)
        known = costs(settings, server)
        rag = Rag(store, cached, Models.alone(generator, tokens, limits(settings), costs=known))
        yield Bench(rag, server)


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """A folder of this run's own below ``place``; what a run that was killed has left there goes first."""
    base = place / f"openbook-eval-{os.getuid()}"
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(base / "making.lock"):  # a folder that is made and not held yet is not taken for a leftover
        for left in base.glob("run-*"):
            _remove_unless_held(left)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=base))
        held = _hold(folder)
        held.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        held.release()


def _remove_unless_held(folder: Path) -> None:
    try:
        with _hold(folder).acquire(timeout=0):
            shutil.rmtree(folder)
    except Timeout:
        return


def _hold(folder: Path) -> FileLock:
    """The lock ends with its process."""
    return FileLock(folder / "held.lock", thread_local=False)


def _memory() -> Path | None:
    """A folder in memory, where there is one with room; containers have little."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES
    return MEMORY if roomy else None
