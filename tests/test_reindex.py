"""Built anew by another embedding model: beside the old one, swapped when whole, taken up when interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from fakes import FakeCounter, FakeEmbedder, FakeGenerator, rag_of
from ingest.pipeline import Ingestion
from ingest.reindex import aside, reindexed
from ingest.report import FileResult, Report
from rag.answer import Limits, Rag
from rag.errors import CollectionNotFound, FingerprintMismatch, StoreUnavailable
from rag.fuse import fuse
from rag.indexed import dense_text
from rag.ports import Index, Store, Vectors
from rag.question import Question
from rag.store.edge import EdgeStore

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds


class Other(FakeEmbedder):
    """Another model, of another size."""

    name = "other"
    dimension = 32


def with_embedder(folder: Path, embedder: FakeEmbedder) -> Rag:
    store = EdgeStore(folder / "collections", embedder=embedder.name, dimension=embedder.dimension)
    return rag_of(store, embedder, FakeCounter(), FakeGenerator(""), Limits())


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Rag]:
    """With a collection that the former model made."""
    former = with_embedder(tmp_path, FakeEmbedder())
    files = tmp_path / "files"
    files.mkdir()
    for name in ("a", "b", "c"):
        (files / f"{name}.md").write_text(f"# {name}\n\nText of {name}.\n\n# More\n\nMore text of {name}.\n")
    list(Ingestion(former.store, former.embedder, former.tokens, "team").run([files]))
    former.store.close()
    (files / "b.md").unlink()  # what is built anew needs no file
    rag = with_embedder(tmp_path, Other())
    yield rag
    rag.store.close()


def run(rag: Rag) -> Report:
    *_, report = reindexed(rag, "team")
    assert isinstance(report, Report)
    return report


def test_the_same_documents_with_vectors_of_the_new_model(other: Rag) -> None:
    with pytest.raises(FingerprintMismatch, match="openbook reindex --collection team"):
        other.store.open("team")
    before = other.store.open("team", any_embedder=True)
    held = [(document, before.read(document.id)) for document in before.documents()]
    report = run(other)
    assert report.count("replaced") == 3
    index = other.store.open("team")
    assert [(document, index.read(document.id)) for document in index.documents()] == held
    for document, passages in held:
        expected: Vectors = Other().embed([dense_text(document, passage) for passage in passages])
        np.testing.assert_allclose(index.vectors(passages), expected, atol=1e-6)
    assert other.store.names() == ["team"]
    hits = fuse(index.candidates("text of b", Other().embed_query("text of b"), 3))
    assert hits[0].document.name == "files/b.md"


def test_interrupted_it_answers_as_before_and_is_taken_up(other: Rag) -> None:
    events = reindexed(other, "team")
    for event in events:
        if isinstance(event, FileResult):
            break
    events.close()  # type: ignore[attr-defined]
    assert other.store.names() == [aside("team"), "team"]
    assert len(other.store.open("team", any_embedder=True).documents()) == 3
    report = run(other)
    assert (report.count("unchanged"), report.count("replaced")) == (1, 2)
    assert other.store.names() == ["team"]


def test_what_was_removed_meanwhile_does_not_come_back(other: Rag) -> None:
    events = reindexed(other, "team")
    next(event for event in events if isinstance(event, FileResult))
    events.close()  # type: ignore[attr-defined]
    old = other.store.open("team", any_embedder=True)
    old.remove([document.id for document in other.store.open(aside("team")).documents()])
    run(other)
    assert [document.name for document in other.store.open("team").documents()] == [
        "files/b.md",
        "files/c.md",
    ]


def test_whatever_a_collection_is_called_and_another_beside_it(other: Rag) -> None:
    long = "t" * 63
    files = [
        Path(d.source.removeprefix("file://"))
        for d in other.store.open("team", any_embedder=True).documents()
    ]
    list(Ingestion(other.store, other.embedder, other.tokens, "team.rebuilt").run(files[:1]))
    list(Ingestion(other.store, other.embedder, other.tokens, long).run(files[:1]))
    run(other)
    *_, report = reindexed(other, long)
    assert isinstance(report, Report)
    assert report.count("replaced") == 1
    assert sorted(other.store.names()) == sorted([long, "team", "team.rebuilt"])
    assert len(other.store.open("team.rebuilt").documents()) == 1


def test_an_unknown_collection(other: Rag) -> None:
    with pytest.raises(CollectionNotFound, match="'nope'"):
        next(reindexed(other, "nope"))


@pytest.mark.process  # of which it starts none; but it takes seconds
def test_what_is_known_of_code_stays(tmp_path: Path) -> None:
    rag = with_embedder(tmp_path, FakeEmbedder())
    (tmp_path / "app.py").write_text("def main():\n    return 1\n")
    list(Ingestion(rag.store, rag.embedder, rag.tokens, "team").run([tmp_path / "app.py"]))
    before = rag.store.open("team")
    known = before.outlines(before.documents())
    assert known
    run(rag)
    after = rag.store.open("team")
    assert after.outlines(after.documents()) == known
    rag.store.close()


async def test_questions_meet_a_swap_and_do_not_notice(tmp_path: Path) -> None:
    rag = with_embedder(tmp_path, FakeEmbedder())
    (tmp_path / "a.md").write_text("# Tides\n\nText of the tides.\n")
    list(Ingestion(rag.store, rag.embedder, rag.tokens, "team").run([tmp_path / "a.md"]))
    swaps = 15

    def swap() -> None:
        for _ in range(swaps):
            run(rag)

    swapping = asyncio.create_task(asyncio.to_thread(swap))
    asked = 0
    while not swapping.done():
        assert len(await rag.search(Question("tides", "team"), 5)) == 1
        assert (await rag.answer(Question("tides?", "team"))).receipt.documents == 1
        asked += 1
    await swapping
    assert asked > swaps / 2
    rag.store.close()


async def test_a_store_that_stays_away_is_told(tmp_path: Path) -> None:
    rag, opened = with_embedder(tmp_path, FakeEmbedder()), []

    class Away:
        def open(self, collection: str) -> Index:
            opened.append(collection)
            raise StoreUnavailable("away")

    rag.store.close()
    rag.store = cast(Store, Away())
    with pytest.raises(StoreUnavailable, match="away"):
        await rag.search(Question("tides", "team"), 5)
    assert opened == ["team"] * 2
