"""With which blocks a context begins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag import order
from rag.order import Readable, Tree, blocks_of, name_of
from rag.prefix_cache import Key
from rag.types import At, Block, Document, Passage

DOCUMENTS = [document(f"file:///{number}.txt") for number in range(3)]
TILES = {doc.id: passages(doc, *(f"w{at} " * 10 for at in range(6))) for doc in DOCUMENTS}
READABLE = {doc.id: Readable(doc.revision) for doc in DOCUMENTS}
SIZE = 10  # tokens of each passage


class Everything:
    def resident(self, keys: Sequence[Key]) -> int:
        return len(keys)


class Without:
    """All but some keys."""

    def __init__(self, *gone: Key) -> None:
        self.gone = gone

    def resident(self, keys: Sequence[Key]) -> int:
        return next((at for at, key in enumerate(keys) if key in self.gone), len(keys))


def block(doc: int, first: int, last: int | None = None) -> Block:
    own = DOCUMENTS[doc]
    return Block(0, own, tuple(TILES[own.id][first : (first if last is None else last) + 1]))


def grown(*sent: Sequence[Block]) -> Tree:
    tree = Tree(kept=0)
    for blocks in sent:
        names = accumulate(((name_of(each),) for each in blocks), lambda path, name: path + name)
        tree.add(blocks, [[hash(path)] for path in names])
    return tree


def chosen(*blocks: Block) -> dict[At, int]:
    return {p.at: p.tokens for each in blocks for p in each.passages}


def lead(tree: Tree, *wanted: Block, budget: int = 100, cache: order.Cache | None = None) -> list[order.Name]:
    return list(tree.lead(chosen(*wanted), budget, READABLE, cache or Everything()))


A, B, C, D = block(0, 0), block(0, 2), block(1, 1), block(2, 3)


def test_what_was_sent_and_is_wanted_comes_first_in_the_order_in_which_it_was_sent() -> None:
    assert lead(grown([C, A, B]), A, B, C) == [name_of(C), name_of(A), name_of(B)]
    assert lead(grown([C, A, B]), A, C) == [name_of(C), name_of(A)], "and no more than that"


def test_of_two_paths_the_one_with_more_that_is_wanted() -> None:
    assert lead(grown([A, B], [C, D]), B, C, D) == [name_of(C), name_of(D)]
    assert lead(grown([A, B], [A, C, D]), A, C, D) == [name_of(A), name_of(C), name_of(D)]


def test_a_path_may_lead_through_a_little_that_is_not_wanted() -> None:
    tree = grown([A, B, C])
    assert lead(tree, B, C, D) == [name_of(A), name_of(B), name_of(C)]
    assert lead(tree, B, C, D, budget=30) == [], "but it takes a quarter of the budget at most"
    assert lead(tree, C, D) == [], "and no more than it brings"
    assert lead(tree, D) == []


def test_in_a_short_context_nothing_takes_the_place_of_what_was_chosen() -> None:
    tree = grown([A, B, C])
    tree.kept = 80
    assert lead(tree, B, C, D, budget=89) == []
    assert lead(tree, B, C, D, budget=90) == [name_of(A), name_of(B), name_of(C)]


def test_what_stands_elsewhere_of_its_documents_needs_another_heading() -> None:
    """A and B are of one document, and only A is on the path."""
    tree = grown([A, C])

    def found(*wanted: Block, heading: int, budget: int) -> list[order.Name]:
        documents = {id_: Readable(each.revision, lambda: heading) for id_, each in READABLE.items()}
        return list(tree.lead(chosen(*wanted), budget, documents, Everything()))

    assert found(A, B, C, heading=5, budget=20) == [name_of(A), name_of(C)]
    assert found(A, B, C, heading=5, budget=19) == []
    assert found(A, B, heading=11, budget=100) == [], "it brings no more than it takes"
    tree.kept = 1000
    assert found(A, B, C, heading=5, budget=1000) == []
    assert found(A, C, heading=5, budget=1000) == [name_of(A), name_of(C)]


def test_a_part_of_a_block_that_is_wanted_counts_as_much_as_it_is() -> None:
    tree = grown([block(0, 0, 2)])
    assert lead(tree, block(0, 1, 2)) == [name_of(block(0, 0, 2))]
    assert lead(tree, block(0, 1)) == []


def test_a_path_ends_where_the_server_has_forgotten_it() -> None:
    tree = grown([C, A, B])
    gone = hash((name_of(C), name_of(A)))
    assert lead(tree, A, B, C, cache=Without(gone)) == [name_of(C)]


def test_a_document_that_is_another_now_or_not_to_be_read_ends_it() -> None:
    tree = grown([A, C])
    others = {id_: each for id_, each in READABLE.items() if id_ != DOCUMENTS[1].id}
    for documents in (others, {**READABLE, DOCUMENTS[1].id: Readable("r2")}):
        assert tree.lead(chosen(A, C), 100, documents, Everything()) == (name_of(A),)


def test_what_the_server_has_forgotten_is_forgotten_when_there_is_too_much() -> None:
    tree = grown([A, B], [C, D])
    tree.most_nodes = 3
    assert lead(tree, A, B, cache=Without(hash((name_of(C),)))) == [name_of(A), name_of(B)]
    assert lead(tree, C, D) == []


@given(st.lists(st.lists(st.sampled_from([A, B, C, D]), max_size=4, unique=True), max_size=6), st.data())
def test_a_lead_is_a_path_that_was_sent_and_brings_more_than_it_takes(
    sent: list[list[Block]], data: st.DataObject
) -> None:
    wanted = data.draw(st.lists(st.sampled_from([A, B, C, D]), unique=True))
    budget = data.draw(st.integers(0, 100))
    found = lead(grown(*sent), *wanted, budget=budget)
    paths = [[name_of(each) for each in blocks] for blocks in sent]
    assert not found or any(path[: len(found)] == found for path in paths)
    names = {name_of(each) for each in wanted}
    extra = SIZE * len(set(found) - names)
    assert extra <= budget * order.SPARE
    assert not found or extra < SIZE * len(set(found) & names)


def test_blocks_get_their_text_back_as_far_as_it_is_there() -> None:
    documents: dict[str, Document] = {doc.id: doc for doc in DOCUMENTS}
    known: dict[At, Passage] = {p.at: p for tiles in TILES.values() for p in tiles}
    names = [name_of(block(0, 1, 2)), name_of(C), name_of(D)]
    assert [(b.number, b.passages) for b in blocks_of(names, documents, known)] == [
        (1, block(0, 1, 2).passages),
        (2, C.passages),
        (3, D.passages),
    ]
    del known[C.document.id, 1]
    assert len(blocks_of(names, documents, known)) == 1
