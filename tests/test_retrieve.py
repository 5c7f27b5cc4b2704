"""From a question to hits, over an embedded store: what is found, what is followed, what a filter keeps out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes import FakeEmbedder, document, passages
from rag import retrieve as module
from rag.fuse import fuse, score
from rag.links import mentions
from rag.ports import Index, Reader
from rag.question import Filter
from rag.retrieve import RERANKED, Search, retrieve
from rag.several import Several
from rag.store.edge import EdgeStore
from rag.types import Document, Hit

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

EMBEDDER = FakeEmbedder()
MANUAL = "The pump of the north pier was built by Lindqvist Works."
WORKS = "It was founded in Malmö by two sisters, who made valves."


def put(index: Index, doc: Document, *texts: str) -> None:
    tiles = passages(doc, *texts)
    index.put(doc, tiles, EMBEDDER.embed([tile.text for tile in tiles]))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    """``links``: who built the pump is said in one document, and of the builder in another; ``noise`` holds
    other words of the question. ``other``: one document."""
    made = EdgeStore(
        tmp_path_factory.mktemp("retrieve"), embedder=EMBEDDER.name, dimension=EMBEDDER.dimension
    )
    links = made.open("links", create=True)
    put(links, document("file:///d/pump.md", title="Pump"), MANUAL)
    put(
        links, document("file:///d/w1.md", title="Lindqvist Works"), *[WORKS, "Painting is done in May. "] * 4
    )
    for at in range(60):
        put(links, document(f"file:///noise/{at}.md"), f"A builder was {at}.")
    put(made.open("other", create=True), document("file:///o/pump.txt", collection="other"), "Another Pump.")
    yield made
    made.close()


@pytest.fixture
def links(store: EdgeStore) -> Index:
    return store.open("links")


def search(question: str, limit: int = 10, among: Filter | None = None) -> Search:
    return Search(question, EMBEDDER.embed_query(question), limit, among)


def found(index: Reader, asked: Search, **options: object) -> list[str]:
    return [hit.document.title for hit in retrieve(index, asked, **options)]  # type: ignore[arg-type]


ASKED = "Where was the builder of the pump of the north pier founded?"


def plain(index: Reader, asked: Search) -> list[Hit]:
    return fuse(index.candidates(asked.question, asked.vector, asked.limit, asked.among))[: asked.limit]


def test_what_the_first_hit_names_is_found_where_plain_search_misses_it(links: Index) -> None:
    asked = search(ASKED)
    assert "Lindqvist Works" not in [hit.document.title for hit in plain(links, asked)]
    hits = retrieve(links, asked)
    by_name = [hit for hit in hits if hit.document.title == "Lindqvist Works"]
    assert by_name[0].passage.text == WORKS
    assert {hit.via for hit in by_name} == {"Pump"}
    assert len([hit for hit in retrieve(links, search(ASKED, 200)) if hit.via]) == module.PASSAGES
    assert {hit.via for hit in hits if hit not in by_name} == {""}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_what_the_question_names_comes_forward_without_a_via(links: Index) -> None:
    asked = search("Who painted at Lindqvist Works?", among=Filter(paths=("w1.md",)))
    hits = retrieve(links, asked)
    assert hits[0].document.title == "Lindqvist Works"
    assert hits[0].via == ""
    before = next(hit for hit in plain(links, asked) if hit.passage == hits[0].passage)
    assert hits[0].score == pytest.approx(before.score + module.NAMED_BY_QUESTION)
    assert (hits[0].cosine, hits[0].bm25) == (before.cosine, before.bm25)


@pytest.mark.parametrize(
    ("among", "follows"),
    [
        (Filter(paths=("d/*",)), True),
        (Filter(paths=("noise/*", "d/pump.md")), False),
        (Filter(paths=("d/*",), headings=("none",)), False),
        (Filter(types=("md",)), True),
        (Filter(types=("txt",)), False),
    ],
)
def test_a_filter_holds_for_what_is_followed_too(links: Index, among: Filter, follows: bool) -> None:
    hits = retrieve(links, search(ASKED, among=among))
    assert ("Lindqvist Works" in {hit.document.title for hit in hits}) == follows
    if among.paths == ("d/*",) and follows:
        assert {hit.document.title for hit in hits} == {"Pump", "Lindqvist Works"}


def test_a_document_does_not_follow_itself(store: EdgeStore) -> None:
    (hit,) = retrieve(store.open("other"), search("another?"))
    assert "pump" in mentions(hit.passage.text)
    assert (hit.via, hit.score) == ("", score(hit.cosine, hit.bm25))


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_no_more_than_the_limit_and_no_passage_twice(links: Index, limit: int) -> None:
    hits = retrieve(links, search(ASKED, limit))
    assert 0 < len(hits) <= limit
    assert len({hit.passage.id for hit in hits}) == len(hits)
    assert hits[0].passage.text == MANUAL


def test_the_same_question_brings_the_same(links: Index) -> None:
    assert retrieve(links, search(ASKED)) == retrieve(links, search(ASKED))


class Backwards:
    """Likes short passages, says so in numbers below zero, and keeps what it was asked."""

    name = "backwards"

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        self.asked.append((question, list(passages)))
        return [-float(len(text)) for text in passages]


def test_a_reranker_orders_the_best_and_leaves_the_others_below_them(links: Index) -> None:
    reranker = Backwards()
    before, after = retrieve(links, search(ASKED, 60)), retrieve(links, search(ASKED, 60), reranker)
    ((question, texts),) = reranker.asked
    assert question == ASKED
    assert texts == [hit.passage.text for hit in before[:RERANKED]]
    assert [hit.passage.text for hit in after[:RERANKED]] == sorted(texts, key=len)
    assert after[RERANKED:] == before[RERANKED:]
    assert len(after) == 60
    assert [hit.score for hit in after] == [hit.score for hit in before], "packing reads them"


def test_nothing_found_is_not_reranked(links: Index) -> None:
    reranker = Backwards()
    assert retrieve(links, search(ASKED, among=Filter(types=("txt",))), reranker) == []
    assert reranker.asked == []


def test_several_collections_are_read_as_one(store: EdgeStore, links: Index) -> None:
    other = store.open("other")
    both = Several([links, other])
    assert {hit.document.collection for hit in retrieve(both, search("pump", 100))} == {"links", "other"}
    assert "Lindqvist Works" in found(both, search(ASKED))
    assert both.size() == (63, 70)
    assert both.size(Filter(types=("txt",))) == (1, 1)
    assert len(both.documents()) == 63
    (doc,) = other.documents()
    assert both.documents([doc.id]) == [doc]
    assert both.read(doc.id) == other.read(doc.id)
    assert both.read(doc.id, (1, 2)) == []
    assert both.named(["lindqvist works"]) == links.named(["lindqvist works"])


def test_a_vector_is_of_the_embedder_that_the_collection_has(tmp_path: Path) -> None:
    empty = EdgeStore(tmp_path, embedder=EMBEDDER.name, dimension=EMBEDDER.dimension).open("x", create=True)
    assert retrieve(empty, search(ASKED)) == []
