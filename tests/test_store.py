"""The contract of Store and Index: the same tests for Qdrant in process and for qdrant-client.

Set OPENBOOK_QDRANT_URL to run them against a real server too.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fakes import FakeEmbedder, document, passages
from rag.code.outline import Definition, Import, Outline, Use
from rag.errors import BadName, CollectionExists, CollectionNotFound, FingerprintMismatch, StoreUnavailable
from rag.fuse import fuse
from rag.ports import Index, Store, Write
from rag.question import Filter
from rag.store.collection import Collection
from rag.store.edge import EdgeStore
from rag.store.points import Point, Where
from rag.types import Document

EMBEDDER = FakeEmbedder()
SERVER = os.environ.get("OPENBOOK_QDRANT_URL")


class Opener:
    """Opens and opens again the same stored data, as a restart would."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self._client: Any = None

    def __call__(self, embedder: str = EMBEDDER.name, dimension: int = EMBEDDER.dimension) -> Store:
        if self.kind == "edge":
            return EdgeStore(self.folder, embedder=embedder, dimension=dimension)
        # Imported here: the client takes two seconds, which each process that runs tests would pay.
        from qdrant_client import QdrantClient

        from rag.store.server import ServerStore

        if self._client is None:
            self._client = QdrantClient(url=SERVER) if self.kind == "server" else QdrantClient(":memory:")
        return ServerStore(self._client, embedder=embedder, dimension=dimension)


# The client's own engine takes seconds, and so does a server: not for the unit lane.
SLOW = [pytest.param(kind, marks=pytest.mark.process) for kind in ("memory", *(["server"] if SERVER else []))]


@pytest.fixture(params=["edge", *SLOW])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    with warnings.catch_warnings():
        # qdrant-client's in-memory mode says that payload indexes do nothing there.
        warnings.filterwarnings("ignore", message="Payload indexes have no effect", category=UserWarning)
        yield Opener(request.param, tmp_path / "collections")


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()


@pytest.fixture
def index(store: Store) -> Index:
    return store.open("default", create=True)


def put(index: Index, doc: Document, *texts: str) -> None:
    tiles = passages(doc, *texts)
    index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))


def found(index: Index, query: str, limit: int = 10) -> list[str]:
    return [hit.passage.text for hit in fuse(index.candidates(query, EMBEDDER.embed_query(query), limit))][
        :limit
    ]


def test_put_then_search_read_and_list(index: Index) -> None:
    doc = document("file:///gauge.txt", pages=2)
    put(index, doc, "The tide gauge measures water.\n", "Its battery lasts 400 days.\n")
    put(index, document("file:///other.txt"), "Lunch is at noon.\n")
    hits = fuse(
        index.candidates("how long does the battery last", EMBEDDER.embed_query("battery lasts days"), 10)
    )
    assert hits[0].passage.text == "Its battery lasts 400 days.\n"
    assert hits[0].document == doc
    assert (
        hits[0].passage
        == passages(doc, "The tide gauge measures water.\n", "Its battery lasts 400 days.\n")[1]
    )
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert (
        "".join(p.text for p in index.read(doc.id))
        == "The tide gauge measures water.\nIts battery lasts 400 days.\n"
    )
    assert [d.source for d in index.documents()] == ["file:///gauge.txt", "file:///other.txt"]
    assert index.documents([doc.id]) == [doc]
    assert index.size() == (2, 3)


def test_bm25_finds_a_word_that_vectors_miss_and_a_stop_word_query_is_no_error(index: Index) -> None:
    put(index, document(), "Error code E-4711 means a wet connector.", "Everything else.")
    assert found(index, "E-4711")[0] == "Error code E-4711 means a wet connector."
    assert len(found(index, "the of and")) == 2


def test_a_cut_between_equal_scores_is_always_the_same(index: Index) -> None:
    words = ["gauge", "tide", "battery", "cable", "valve", "pump"]
    for word in words:
        put(index, document(f"file:///{word}.txt"), f"{word} {word} {word}", f"other than a {word}")
    first = found(index, " ".join(words), 3)
    assert len(first) == 3
    assert all(found(index, " ".join(words), 3) == first for _ in range(20))
    assert found(index, " ".join(words), 12)[:3] == first


def test_a_candidate_has_both_scores_and_nothing_that_one_of_them_found_is_lost(index: Index) -> None:
    """To be absent from one list is no score of 0: each is scored by the other too."""
    texts = [f"gauge number {at} of the harbour" for at in range(120)]
    put(index, document("file:///many.txt"), *texts, "an E-4711 elsewhere")
    question = "gauge E-4711"
    vector = EMBEDDER.embed_query(question)
    candidates = index.candidates(question, vector, 5)
    assert "an E-4711 elsewhere" in [each.passage.text for each in candidates]
    assert len(candidates) >= 50
    for each in candidates:
        assert each.cosine == pytest.approx(float(EMBEDDER.embed_query(each.passage.text) @ vector), abs=1e-5)
        assert (each.bm25 > 0) == bool({"gauge", "E-4711"} & set(each.passage.text.split()))
    keys = [(each.document.source, each.passage.ordinal) for each in candidates]
    assert keys == sorted(set(keys))
    again = {each.passage.id: each for each in index.candidates(question, vector, 200)}
    for each in candidates:
        assert again[each.passage.id].bm25 == pytest.approx(each.bm25)


def test_words_of_other_languages_meet_by_their_own_stems(index: Index) -> None:
    put(index, document("file:///de.txt", language="de"), "Die Leitungen werden gewechselt.")
    put(index, document("file:///en.txt", language="en"), "The batteries are changed.")
    put(index, document("file:///zh.txt", language="zh"), "电池可以使用四百天。")
    for question, source in (("Leitung", "de"), ("battery", "en"), ("电池", "zh")):
        found = index.candidates(question, EMBEDDER.embed_query(question), 10)
        assert [each.document.name for each in found if each.bm25 > 0] == [f"{source}.txt"]


def filed(index: Index) -> None:
    for source, fields, headings in (
        ("file:///d/a.md", {"author": "Ada", "tags": ["sea", "tide"]}, ("Gauge", "Battery life")),
        ("file:///d/sub/b.pdf", {}, ("Gauge",)),
        ("file:///e/c.md", {"author": "Bob"}, ()),
    ):
        doc = document(source, fields=fields)
        tiles = [
            replace(each, section=headings[:at]) for at, each in enumerate(passages(doc, *["gauge "] * 3))
        ]
        index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))


@pytest.mark.parametrize(
    ("among", "expected", "size"),
    [
        (Filter(), [f"{name} {at}" for name in ("a.md", "b.pdf", "c.md") for at in range(3)], (3, 9)),
        (Filter(paths=("*.md",)), ["a.md 0", "a.md 1", "a.md 2", "c.md 0", "c.md 1", "c.md 2"], (2, 6)),
        (Filter(paths=("d/*.pdf",)), ["b.pdf 0", "b.pdf 1", "b.pdf 2"], (1, 3)),
        (Filter(fields={"tags": "tide"}), ["a.md 0", "a.md 1", "a.md 2"], (1, 3)),
        (Filter(headings=("gauge",)), ["a.md 1", "a.md 2", "b.pdf 1", "b.pdf 2"], (3, 4)),
        (Filter(headings=("battery*",)), ["a.md 2"], (3, 1)),
        (Filter(paths=("*.pdf",), headings=("gauge",)), ["b.pdf 1", "b.pdf 2"], (1, 2)),
        (Filter(paths=("e/*",), headings=("gauge",)), [], (1, 0)),
        (Filter(headings=("nowhere",)), [], (3, 0)),
        (Filter(paths=("nowhere",)), [], (0, 0)),
    ],
)  # fmt: skip
def test_a_filter_admits_documents_and_headings(
    index: Index, among: Filter, expected: list[str], size: tuple[int, int]
) -> None:
    filed(index)
    found = index.candidates("gauge", EMBEDDER.embed_query("gauge"), 20, among)
    assert [f"{each.document.name.split('/')[-1]} {each.passage.ordinal}" for each in found] == expected
    assert index.size(among) == size
    assert all(each.bm25 > 0 for each in found)


def test_within_documents_the_filter_asks_for_headings_alone(index: Index) -> None:
    filed(index)
    ids = [each.id for each in index.documents() if each.source.endswith("b.pdf")]
    for among, ordinals in ((None, [0, 1, 2]), (Filter(headings=("gauge",)), [1, 2])):
        found = index.candidates("gauge", EMBEDDER.embed_query("gauge"), 20, among, ids)
        assert [each.passage.at for each in found] == [(*ids, at) for at in ordinals]
    assert index.candidates("gauge", EMBEDDER.embed_query("gauge"), 20, None, []) == []


def test_documents_are_found_by_what_they_are_called(index: Index) -> None:
    put(index, document("file:///d/pump-manual.txt", title="Heron H2 (second edition)"), "text")
    put(index, document("file:///e/notes.txt", title="Pump manual"), "text")
    put(index, document("file:///f/gone.txt", title="Pump manual"), "text")
    index.remove([document("file:///f/gone.txt").id])
    assert [each.source for each in index.named(["heron h2"])] == ["file:///d/pump-manual.txt"]
    assert [each.source for each in index.named(["pump manual", "absent"])] == [
        "file:///d/pump-manual.txt",
        "file:///e/notes.txt",
    ]
    assert index.named(["pump"]) == index.named([]) == []


def test_what_is_not_visible_yet_is_not_named(index: Index) -> None:
    assert isinstance(index, Collection)
    crashing = Collection("default", CrashingPoints(index._points, 1), exclusive=False)  # type: ignore[arg-type]
    with pytest.raises(Crash):
        put(crashing, document(title="Pump manual"), "text")
    assert index.named(["pump manual"]) == []


def test_a_collection_from_before_an_index_of_its_fields_filters_all_the_same(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ("kind", "state", "document_id", "revision")
    for module in ("rag.store.edge", "rag.store.server") if opener.kind != "edge" else ("rag.store.edge",):
        monkeypatch.setattr(f"{module}.KEYWORD_FIELDS", before)
    store = opener()
    filed(store.open("default", create=True))
    if opener.kind == "edge":
        store.close()
    monkeypatch.undo()
    index = opener().open("default")
    among = Filter(paths=("d/*",), headings=("gauge",))
    found = index.candidates("gauge", EMBEDDER.embed_query("gauge"), 20, among)
    assert [each.passage.ordinal for each in found] == [1, 2, 1, 2]
    assert index.named(["a md"]) == [each for each in index.documents() if each.source.endswith("a.md")]


class Vanishing:
    """Points of which what the words found is deleted before it is scored by its vector."""

    def __init__(self, points: Any) -> None:
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._points, name)

    def nearest(self, query: Any, where: Where, limit: int) -> list[Any]:
        if where.ids is not None:
            self._points.delete(Where({"kind": "passage"}))
        nearest: list[Any] = self._points.nearest(query, where, limit if where.ids else 1)
        return nearest


def test_what_is_replaced_while_it_is_looked_for_is_not_found_and_no_error(index: Index) -> None:
    assert isinstance(index, Collection)
    for at in range(3):
        put(index, document(f"file:///{at}.txt"), f"gauge {at}")
    vanishing = Collection("default", cast(Any, Vanishing(index._points)), exclusive=False)
    found = vanishing.candidates("gauge 0", EMBEDDER.embed_query("2 gauge"), 1)
    assert len(found) == 1


def test_replace_leaves_one_version(index: Index) -> None:
    put(index, document(revision="r1"), "old text about gauges", "more old text")
    put(index, document(revision="r2"), "new text about gauges")
    assert found(index, "text about gauges") == ["new text about gauges"]
    assert index.size() == (1, 1)
    assert [p.text for p in index.read(document().id)] == ["new text about gauges"]


def test_putting_the_same_revision_again_changes_nothing(index: Index) -> None:
    for _ in range(2):
        put(index, document(), "same", "same again")
    assert index.size() == (1, 2)


def test_remove_and_remove_again(index: Index) -> None:
    put(index, document(), "text about gauges")
    for _ in range(2):
        index.remove([document().id])
        assert index.size() == (0, 0)
        assert found(index, "gauges") == []
        assert index.read(document().id) == []


def test_many_passages_keep_their_order(index: Index) -> None:
    texts = [f"passage number {i}\n" for i in range(700)]
    put(index, document(), *texts)
    assert [p.text for p in index.read(document().id)] == texts
    assert [p.text for p in index.read(document().id, (298, 303))] == texts[298:304]
    assert [p.text for p in index.read(document().id, (-5, 1))] == texts[:2]
    assert index.read(document().id, (700, 900)) == []


def test_vectors_come_back_as_they_were_put(index: Index) -> None:
    texts = [f"passage {i} about gauge {i % 7}\n" for i in range(300)]
    put(index, document(), *texts)
    stored = index.read(document().id)
    np.testing.assert_allclose(index.vectors(stored), EMBEDDER.embed(texts), atol=1e-6)
    assert index.vectors([]).size == 0
    gone = replace(stored[0], id=str(uuid.uuid4()))
    assert list(index.dense([gone, *stored])) == [passage.id for passage in stored]
    index.remove([document().id])
    with pytest.raises(KeyError):
        index.vectors(stored[:1])


def test_data_survive_reopening(opener: Opener) -> None:
    store = opener()
    put(store.open("default", create=True), document(), "text about gauges")
    if opener.kind == "edge":  # closing a client of an in-memory store would end the store
        store.close()
    again = opener()
    assert again.names() == ["default"]
    assert found(again.open("default"), "gauges") == ["text about gauges"]


def test_collections_are_apart_and_can_be_dropped(store: Store) -> None:
    put(store.open("a", create=True), document(), "text in a")
    put(store.open("b", create=True), document(), "text in b")
    assert store.names() == ["a", "b"]
    assert found(store.open("a"), "text") == ["text in a"]
    store.drop("a")
    assert store.names() == ["b"]
    with pytest.raises(CollectionNotFound, match=r"no collection 'a'. There are: b"):
        store.open("a")
    with pytest.raises(CollectionNotFound):
        store.drop("a")


@pytest.mark.parametrize("name", ["", "A", "../x", "a/b", ".hidden", "a..b", "x" * 64, "ü"])
def test_a_name_that_cannot_be_a_folder_is_refused(store: Store, name: str) -> None:
    with pytest.raises(BadName):
        store.open(name, create=True)


def test_vectors_of_another_embedder_are_refused_with_the_way_out(opener: Opener) -> None:
    store = opener()
    put(store.open("default", create=True), document(), "text")
    if opener.kind == "edge":
        store.close()
    other = opener("another-model", EMBEDDER.dimension)
    with pytest.raises(FingerprintMismatch, match=r"another-model.*openbook reindex --collection default"):
        other.open("default")


class Crash(BaseException):
    pass


class CrashingPoints:
    """Passes every operation on and crashes before the n-th that writes."""

    def __init__(self, points: object, after: int) -> None:
        self._points, self._left = points, after

    def __getattr__(self, name: str) -> object:
        operation = getattr(self._points, name)
        if name not in ("upsert", "assign", "delete"):
            return operation

        def counted(*args: object) -> object:
            if self._left == 0:
                raise Crash
            self._left -= 1
            return operation(*args)

        return counted


OLD, NEW = ["old gauge one", "old gauge two"], ["new gauge one", "new gauge two", "new gauge three"]


@pytest.mark.process  # of which it starts none; but all steps in both stores take seconds
@pytest.mark.parametrize("steps", range(8))
@pytest.mark.parametrize("operation", ["replace", "add", "remove"])
def test_a_crash_at_any_step_leaves_one_whole_version_and_a_rerun_finishes(
    opener: Opener, operation: str, steps: int
) -> None:
    store = opener()
    index = store.open("default", create=True)
    assert isinstance(index, Collection)
    if operation != "add":
        put(index, document(revision="old"), *OLD)
    crashing = Collection("default", CrashingPoints(index._points, steps), exclusive=False)  # type: ignore[arg-type]
    finished = True
    try:
        if operation == "remove":
            crashing.remove([document().id])
        else:
            put(crashing, document(revision="new"), *NEW)
    except Crash:
        finished = False
    assert finished == (steps >= {"replace": 6, "add": 6, "remove": 3}[operation])

    before: list[list[str]] = [[]] if operation == "add" else [OLD]
    after: list[str] = [] if operation == "remove" else NEW
    assert [p.text for p in index.read(document().id)] in [*before, after]
    seen = sorted(found(index, "gauge"))
    assert seen in [sorted(before[0]), sorted(after)], "a search must see one whole version"

    if (
        opener.kind == "edge"
    ):  # a restart repairs; on a server another process may be in the middle of a write
        store.close()
        index = opener().open("default")
        assert isinstance(index, Collection)
        assert index._points.count(Where({"kind": "passage"})) == len(index.read(document().id))
    if operation == "remove":
        index.remove([document().id])
    else:
        put(index, document(revision="new"), *NEW)
    assert [p.text for p in index.read(document().id)] == after
    assert sorted(found(index, "gauge")) == sorted(after)
    assert index._points.count(Where({"kind": "passage"})) == len(after)
    assert index._points.count(Where({"kind": "document", "state": "dirty"})) == 0


@pytest.mark.process
@pytest.mark.parametrize("steps", range(10))
def test_a_crash_among_several_leaves_whole_versions_of_each(opener: Opener, steps: int) -> None:
    store = opener()
    index = store.open("default", create=True)
    assert isinstance(index, Collection)
    replaced, added = document("file:///replaced.txt", "old"), document("file:///added.txt", "new")
    put(index, replaced, *OLD)
    writes = [
        Write(doc, tiles := passages(doc, *NEW), EMBEDDER.embed([tile.text for tile in tiles]))
        for doc in (document("file:///replaced.txt", "new"), added)
    ]
    crashing = Collection("default", CrashingPoints(index._points, steps), exclusive=False)  # type: ignore[arg-type]
    with suppress(Crash):
        crashing.put_all(writes)
    assert [p.text for p in index.read(replaced.id)] in (OLD, NEW)
    assert [p.text for p in index.read(added.id)] in ([], NEW)
    index.put_all(writes)
    for doc in (replaced, added):
        assert [p.text for p in index.read(doc.id)] == NEW
    assert index._points.count(Where({"kind": "passage"})) == 2 * len(NEW)
    assert index._points.count(Where({"kind": "document", "state": "dirty"})) == 0


def test_interrupted_making_of_an_edge_collection_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / ".new-1").mkdir()
    (tmp_path / ".dropped-2").mkdir()
    store = EdgeStore(tmp_path, embedder="e", dimension=4)
    assert store.names() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_interrupted_making_of_a_server_collection_leaves_nothing_that_is_seen() -> None:
    from qdrant_client import QdrantClient

    from rag.store.server import ServerStore

    client = QdrantClient(":memory:")

    def crash(*_: object) -> None:
        raise InterruptedError

    client.update_collection_aliases, whole = crash, client.update_collection_aliases  # type: ignore[method-assign, assignment]
    store = ServerStore(client, embedder="e", dimension=4)
    with pytest.raises(InterruptedError):
        store.open("x", create=True)
    client.update_collection_aliases = whole  # type: ignore[method-assign]
    assert store.names() == []
    with pytest.raises(CollectionNotFound):
        store.open("x")
    assert store.open("x", create=True).size() == (0, 0)


@pytest.mark.process
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
@pytest.mark.parametrize("quantized", [True, False])
def test_a_server_keeps_a_byte_for_each_number_in_memory_where_that_is_asked(quantized: bool) -> None:
    from qdrant_client import QdrantClient, models

    from rag.store.server import ServerStore

    client, made, searched = QdrantClient(":memory:"), [], []
    create, query = client.create_collection, client.query_points
    client.create_collection = lambda *a, **k: made.append(k) or create(*a, **k)  # type: ignore[func-returns-value, method-assign]
    client.query_points = lambda *a, **k: searched.append(k) or query(*a, **k)  # type: ignore[func-returns-value, method-assign]
    store = ServerStore(client, embedder="e", dimension=EMBEDDER.dimension, quantized=quantized)
    index = store.open("x", create=True)
    put(index, document(collection="x"), "the gate opens")
    assert index.candidates("gate", EMBEDDER.embed_query("gate"), 5)
    params = made[0]["vectors_config"]["dense"]
    if quantized:
        assert params.memory == models.Memory.COLD
        assert params.quantization_config.scalar.type == models.ScalarType.INT8
        assert params.quantization_config.scalar.memory == models.Memory.PINNED
    else:
        assert (params.memory, params.quantization_config) == (None, None)
    assert [each["search_params"].quantization.rescore for each in searched if each["using"] == "dense"] == [
        True
    ]


def filled(store: Store, collection: str, text: str) -> None:
    put(store.open(collection, create=True), document(collection=collection), text)


def held(store: Store) -> dict[str, list[str]]:
    return {name: [p.text for p in store.open(name).read(document().id)] for name in store.names()}


def test_a_collection_takes_the_place_of_another(opener: Opener) -> None:
    store = opener()
    filled(store, "live", "old")
    filled(store, "live.rebuilt", "new")
    with pytest.raises(CollectionNotFound, match="'absent'"):
        store.swap("live", "absent")
    with pytest.raises(CollectionNotFound, match="'absent'"):
        store.swap("absent", "live.rebuilt")
    assert held(store) == {"live": ["old"], "live.rebuilt": ["new"]}
    store.swap("live", "live.rebuilt")
    assert held(store) == {"live": ["new"]}
    put(store.open("live"), document(revision="r2"), "newer")
    if opener.kind == "edge":
        store.close()
        store = opener()
    assert held(store) == {"live": ["newer"]}


@pytest.mark.parametrize("renames", [1, 2])
def test_a_swap_that_a_crash_broke_off_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    store = EdgeStore(tmp_path, embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    filled(store, "live", "old")
    filled(store, "live.rebuilt", "new")
    rename, done = Path.rename, list[Path]()

    def crashing(path: Path, target: Path) -> Path:
        if len(done) == renames:
            raise InterruptedError
        done.append(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", crashing)
    with pytest.raises(InterruptedError):
        store.swap("live", "live.rebuilt")
    monkeypatch.undo()
    store.close()
    again = EdgeStore(tmp_path, embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    assert held(again) == {"live": ["new"]}
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


def test_what_another_embedder_made_can_be_listed_where_that_does_not_matter(opener: Opener) -> None:
    store = opener()
    filled(store, "live", "old")
    if opener.kind == "edge":
        store.close()
    other = opener(embedder="another")
    assert [d.source for d in other.open("live", any_embedder=True).documents()] == ["file:///a.txt"]
    with pytest.raises(FingerprintMismatch):
        other.open("live")


def test_engine_errors_are_mapped(tmp_path: Path) -> None:
    store = EdgeStore(tmp_path, embedder="e", dimension=4)
    index = store.open("x", create=True)
    assert isinstance(index, Collection)
    with pytest.raises(StoreUnavailable, match="Writing to the index failed"):
        index._points.upsert([Point(document().id, {}, dense=[1.0])])
    (tmp_path / "damaged").mkdir()
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.open("damaged")


def outline_of(name: str) -> Outline:
    defined = Definition(("Tap", name), "method", 0, 9, 1, 2, f"def {name}(self)", "Opens it.", public=False)
    return Outline(
        "python", "taps", (defined,), (Use("turn", "self", "call", 2, 0),), (Import("os", "", "os", 1),)
    )


def put_code(index: Index, doc: Document, outline: Outline) -> None:
    tiles = passages(doc, "def open(): turn()")
    index.put_all([Write(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]), outline)])


def test_the_outline_of_code_comes_and_goes_with_its_revision(index: Index) -> None:
    old, prose = replace(document("taps.py"), code="python"), document("readme.md")
    put(index, prose, "Taps.")
    put_code(index, old, outline_of("open"))
    assert index.code() == [old]
    assert index.outlines(index.documents()) == {old.id: outline_of("open")}
    new = replace(old, revision="other")
    put_code(index, new, outline_of("shut"))
    assert index.outlines([old, prose]) == {}
    assert index.outlines([new]) == {new.id: outline_of("shut")}
    index.remove([new.id])
    assert index.outlines([new]) == {}


def test_changes_differ_after_each_write_and_only_then(index: Index) -> None:
    before = index.changes()
    assert index.changes() == before
    put(index, document("a.txt"), "one")
    after = index.changes()
    assert after != before
    index.remove([document("a.txt").id])
    assert index.changes() not in (before, after)


def test_changes_are_seen_by_who_opens_the_collection_later(store: Store) -> None:
    index = store.open("default", create=True)
    before = index.changes()
    assert store.open("default").changes() == before
    put(store.open("default"), document("a.txt"), "one")
    assert store.open("default").changes() == index.changes() != before
    store.drop("default")
    assert store.open("default", create=True).changes() not in (before, index.changes())


def test_a_collection_is_renamed_and_all_its_documents_with_it(opener: Opener) -> None:
    store = opener()
    filled(store, "old", "words")
    filled(store, "other", "more")
    renamed = store.open("old")
    with pytest.raises(CollectionExists, match="'other'"):
        store.rename("old", "other")
    with pytest.raises(CollectionNotFound, match="'absent'"):
        store.rename("absent", "new")
    with pytest.raises(BadName):
        store.rename("old", "../new")
    store.rename("old", "new")
    assert held(store) == {"new": ["words"], "other": ["more"]}
    if opener.kind == "edge":
        with pytest.raises(StoreUnavailable, match="meanwhile"):
            renamed.size()
        store.close()
        store = opener()
    index = store.open("new")
    assert [document.collection for document in index.documents()] == ["new"]
    put(index, document(revision="r2", collection="new"), "newer")
    filled(store, "old", "again")
    assert held(store) == {"new": ["newer"], "old": ["again"], "other": ["more"]}
