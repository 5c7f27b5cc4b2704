"""The map of a code base before every question of its collection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fake_engine import engine_over, fake_store
from fakes import FakeEmbedder, FakeGenerator, document, passages
from rag.answer import Rag
from rag.code.known import MAPPED_FILES
from rag.code.mapped import SIZES, map_id
from rag.code.outline import Definition, Outline
from rag.ports import Store, Write
from rag.question import Filter, Question

ROOM = 8 * SIZES[-1]


def put(store: Store, name: str, defined: str) -> None:
    doc = replace(document(name), code="python", source=f"file:///work/{name}")
    tiles = passages(doc, f"def {defined}(): ...")
    outline = Outline(
        "python", name[:-3], (Definition((defined,), "function", 0, 9, 1, 1, f"def {defined}()"),)
    )
    vectors = FakeEmbedder().embed([tile.text for tile in tiles])
    store.open("default", create=True).put_all([Write(doc, tiles, vectors, outline)])


@pytest.fixture
def rag(tmp_path: Path) -> Iterator[Rag]:
    store = fake_store(tmp_path / "store")
    for number in range(MAPPED_FILES):
        put(store, f"file{number}.py", f"work{number}")
    put(store, "long.py", "much" + "_of_it" * 10_000)
    yield engine_over(store, tmp_path, FakeGenerator("It is so [1].")).rag
    store.close()


async def test_a_question_begins_with_the_map_of_the_code(rag: Rag) -> None:
    context = await rag.read(Question("work3", max_context_tokens=ROOM))
    first = context.blocks[0]
    assert first.document.title == "Map of the code"
    assert "work3()" in first.text
    assert first.tokens <= SIZES[-1]
    again = await rag.read(Question("work5", max_context_tokens=ROOM))
    assert again.blocks[0] == first, "the same for each question, so that it stays in the cache"


async def test_a_small_budget_a_filter_and_few_files_have_no_map(rag: Rag, tmp_path: Path) -> None:
    small = await rag.read(Question("work3", max_context_tokens=ROOM - 1))
    assert small.blocks[0].document.title != "Map of the code"
    of_one = await rag.read(Question("work3", max_context_tokens=ROOM, among=Filter(paths=("file3.py",))))
    assert [block.document.name for block in of_one.blocks] == ["work/file3.py"]


async def test_the_map_follows_what_is_written(rag: Rag) -> None:
    before = (await rag.read(Question("work3", max_context_tokens=ROOM))).blocks[0]
    put(rag.store, "new.py", "brand_new")
    after = (await rag.read(Question("work3", max_context_tokens=ROOM))).blocks[0]
    assert "brand_new()" in after.text
    assert after.document.revision != before.document.revision
    assert after.document.id == before.document.id


def test_maps_have_few_sizes() -> None:
    ids = {map_id(["a"], budget) for budget in range(0, 200_000, 1000)}
    assert len(ids) == len(SIZES) + 1
    assert map_id(["a"], ROOM) != map_id(["b"], ROOM)
