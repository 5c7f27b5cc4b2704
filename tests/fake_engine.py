"""An engine of fakes over a real embedded store, as the service and the command line are given one."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from fakes import FakeCounter, FakeEmbedder, FakeGenerator, FakeRelay, rag_of
from ingest.pipeline import Ingestion
from ingest.report import Report
from rag.answer import Limits
from rag.answers import FILE as ANSWERS
from rag.answers import Answers
from rag.children import Children
from rag.collection_settings import FILE, CollectionSettings
from rag.compose import Engine
from rag.conversations import Conversations
from rag.owner import Owner, Record
from rag.settings import Settings
from rag.store.edge import EdgeStore

TOKEN = "the-owner's-token"
REPLY = "The battery of the gauge lasts 400 days [1]."


def fake_store(folder: Path) -> EdgeStore:
    """``folder`` keeps the collections from one store to the next."""
    embedder = FakeEmbedder()
    return EdgeStore(folder / "collections", embedder=embedder.name, dimension=embedder.dimension)


def engine_over(store: EdgeStore, folder: Path, generator: FakeGenerator | None = None) -> Engine:
    conversations = Conversations(folder / "conversations.db")
    model = generator or FakeGenerator(REPLY)
    rag = rag_of(
        store,
        FakeEmbedder(),
        FakeCounter(),
        model,
        Limits(),
        conversations=conversations,
        collection_settings=CollectionSettings(folder / FILE),
    )
    return Engine(
        rag,
        Owner(folder, Record(os.getpid(), "a test", token=TOKEN)),
        Children({}),
        preload=lambda: None,
        relays={"answer": FakeRelay()},
        embedder=FakeEmbedder(),
    )


@contextmanager
def fake_engine(folder: Path, generator: FakeGenerator | None = None) -> Iterator[Engine]:
    folder.mkdir(parents=True, exist_ok=True)
    store = fake_store(folder)
    engine = engine_over(store, folder, generator)
    try:
        yield engine
    finally:
        engine.rag.conversations.close()
        store.close()


@contextmanager
def keeping_answers(folder: Path, generator: FakeGenerator, most: int) -> Iterator[Engine]:
    """One that has read a document about a gauge, and keeps past answers."""
    (folder / "gauge.md").write_text("The battery of the gauge lasts 400 days.")
    with fake_engine(folder, generator) as engine:
        engine.rag.answers = answers = Answers(folder / ANSWERS, most)
        ingested(engine, folder / "gauge.md")
        try:
            yield engine
        finally:
            answers.close()


def opener(generator: FakeGenerator | None = None) -> Callable[[Settings, str], object]:
    """What stands in for ``rag.compose.open_rag``."""

    @asynccontextmanager
    async def open_fake(settings: Settings, _doing: str) -> AsyncIterator[Engine]:
        with fake_engine(settings.data_dir, generator) as engine:
            yield engine

    return open_fake


def ingested(engine: Engine, *paths: Path, collection: str = "default") -> Report:
    rag = engine.rag
    *_, report = Ingestion(rag.store, rag.embedder, rag.tokens, collection).run(paths)
    assert isinstance(report, Report)
    return report
