"""The code bases in memory: few of them, none of which holds a question to another, and to each caller its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fake_engine import engine_over, fake_store
from fakes import FakeCounter, FakeEmbedder, document, passages
from rag.code import known
from rag.code.codebase import Codebase
from rag.code.known import MAPPED_FILES, Codebases
from rag.code.mapped import SIZES, map_id
from rag.code.outline import Definition, Outline
from rag.errors import CollectionNotFound
from rag.ports import Reader, TokenCounter, Write
from rag.question import Question
from rag.several import Several
from rag.store.edge import EdgeStore
from rag.types import Document
from rag.visible import Visible

WAIT_S = 30


def put(store: EdgeStore, collection: str, files: int = MAPPED_FILES) -> None:
    index = store.open(collection, create=True)
    for number in range(files):
        name = f"{collection}{number}"
        source = f"file:///work/{collection}/{name}.py"
        doc = replace(document(source), collection=collection, code="python")
        tiles = passages(doc, f"def {name}(): ...")
        defined = Definition((name,), "function", 0, 9, 1, 1, f"def {name}()")
        outline = Outline("python", name, (defined,))
        index.put_all([Write(doc, tiles, FakeEmbedder().embed([tile.text for tile in tiles]), outline)])


class Counted(Several):
    """Keeps which code bases were read; one ``held`` is not read before it is let go."""

    def __init__(self, index: Reader, name: str, read: list[str], held: threading.Event | None) -> None:
        super().__init__([index])
        self._of, self._read, self._held = name, read, held

    def code(self) -> list[Document]:
        self._read.append(self._of)
        if self._held:
            assert self._held.wait(WAIT_S)
        return super().code()


class Watched:
    """Code bases over a store, and which of them were read."""

    def __init__(self, store: EdgeStore) -> None:
        self.store, self.codebases, self.read = store, Codebases(store), list[str]()
        self.held: dict[str, threading.Event] = {}

    def index(self, name: str) -> Reader:
        return Counted(self.store.open(name), name, self.read, self.held.get(name))

    def of(self, name: str) -> Codebase:
        return self.codebases.of_index(self.index(name), [name])

    def map(self, name: str, tokens: TokenCounter) -> str:
        mapped = self.codebases.mapped(self.index(name), [name], tokens)
        id_ = map_id([name], 8 * SIZES[-1])
        assert id_
        return mapped.read(id_)[0].text


class Slow(FakeCounter):
    """Says when it has begun, and counts when it is let go."""

    def __init__(self) -> None:
        self.begun, self.held = threading.Event(), threading.Event()

    def count(self, texts: Sequence[str]) -> list[int]:
        self.begun.set()
        assert self.held.wait(WAIT_S)
        return super().count(texts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    store = fake_store(tmp_path)
    for name in ("a", "b", "c"):
        put(store, name)
    yield store
    store.close()


def test_the_least_recently_used_makes_room(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "KEPT", 2)
    watched = Watched(store)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert [each.qualified for each in watched.of(name).named(f"{name}3")] == [f"{name}3.{name}3"]
    assert watched.read == ["a", "b", "c", "b"]


def test_reading_one_holds_no_question_to_another(store: EdgeStore) -> None:
    watched = Watched(store)
    held = watched.held["a"] = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(watched.of, "a") for _ in range(2)]
        try:
            assert pool.submit(watched.of, "b").result(timeout=5).named("b3")
            assert not any(each.done() for each in slow)
        finally:
            held.set()
        assert slow[0].result(WAIT_S) is slow[1].result(WAIT_S), "of two who ask, one reads it"
    assert sorted(watched.read) == ["a", "b"]


def test_drawing_one_map_holds_no_question_to_another_nor_what_needs_no_map(store: EdgeStore) -> None:
    watched, tokens = Watched(store), Slow()
    with ThreadPoolExecutor(3) as pool:
        slow = pool.submit(watched.map, "a", tokens)
        try:
            assert tokens.begun.wait(WAIT_S)
            other, without = pool.submit(watched.map, "b", FakeCounter()), pool.submit(watched.of, "a")
            assert "b3()" in other.result(timeout=5)
            assert without.result(timeout=5).named("a3")
            assert not slow.done()
        finally:
            tokens.held.set()
        assert "a3()" in slow.result(WAIT_S)


async def test_a_caller_has_the_code_of_what_the_caller_sees(store: EdgeStore, tmp_path: Path) -> None:
    owner = engine_over(store, tmp_path).rag
    assert owner.codebases.of(["a"]).named("a3")
    seen = owner.seen_by("tenant", Visible(store, lambda name: name == "b"))
    assert seen.codebases.of(["b"]).named("b3")
    for collections in (["a"], ["b", "a"]):
        with pytest.raises(CollectionNotFound):
            seen.codebases.of(collections)
    context = await seen.read(Question("b3", ("b",), max_context_tokens=8 * SIZES[-1]))
    assert "b3()" in context.blocks[0].text
    assert seen.codebases.of(["b"]) is owner.codebases.of(["b"]), "read once for all who see it"
