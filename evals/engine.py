"""An engine to measure: everything as settings say, but over a store of its own that goes when it is done."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rag.answer import Rag
from rag.compose import (
    ModelServer,
    chat_client,
    embedder_of,
    limits,
    managed_server,
    token_counter,
)
from rag.models.embed_cache import CachedEmbedder
from rag.settings import Settings
from rag.store.edge import EdgeStore

# A store waits for the disk at every document; nothing of this one is to be kept.
MEMORY = Path("/dev/shm")
NEEDED_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Bench:
    """``server`` is the managed model server, started by whoever asks; None where settings name another."""

    rag: Rag
    server: ModelServer | None


@asynccontextmanager
async def open_bench(settings: Settings) -> AsyncIterator[Bench]:
    """The user's collections are not opened, so a service may be running on them. Vectors that were computed
    before are taken from the data folder's cache and new ones kept there, so a second run is quick."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="openbook-eval-", dir=_memory()))
        embedder = embedder_of(settings)
        vectors = settings.data_dir / "cache" / "embeddings.sqlite3"
        cached = CachedEmbedder(embedder, vectors, identity=embedder.identity)
        stack.callback(cached.close)
        store = EdgeStore(Path(folder), embedder=embedder.name, dimension=embedder.dimension)
        stack.callback(store.close)
        server = managed_server(settings) if settings.llm_url is None else None
        if server:
            stack.push_async_callback(server.stop)
        generator = chat_client(settings, server)
        stack.push_async_callback(generator.close)
        tokens = await asyncio.to_thread(token_counter, settings, stack)
        yield Bench(Rag(store, cached, tokens, generator, limits(settings)), server)


def _memory() -> Path | None:
    """A folder in memory, where there is one with room; containers have little."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES
    return MEMORY if roomy else None
