from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import get_args
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag.choice import choose, nearest
from rag.pack import Heading, pack, pack_whole
from rag.question import Policy
from rag.types import Block, Context, Document, Hit, Passage


@dataclass(frozen=True)
class Corpus:
    documents: tuple[Document, ...]
    texts: dict[str, list[Passage]]
    headings: dict[str, Heading]
    hits: tuple[Hit, ...]

    def pack(self, budget: int, hits: Sequence[Hit] | None = None, policy: Policy = "auto") -> Context:
        choice = choose(self.hits if hits is None else hits, self.texts, policy)
        return pack(choice, self.texts, budget, self.headings)


def corpus(
    sizes: Sequence[Sequence[int]],
    hits: Sequence[tuple[int, int]],
    heading: int = 3,
    again: int | None = None,
) -> Corpus:
    """``sizes``: the tokens of each passage of each document; ``hits``: (document, ordinal), best first; ``again``:
    of a further heading of the same document, if not the same."""
    both = Heading(heading, heading if again is None else again)
    documents = tuple(document(f"file:///{number}.txt") for number in range(len(sizes)))
    texts = {
        doc.id: [
            replace(tile, tokens=tokens)
            for tile, tokens in zip(passages(doc, *(f"{at} " for at in range(len(row)))), row, strict=True)
        ]
        for doc, row in zip(documents, sizes, strict=True)
    }
    found = tuple(
        Hit(documents[at], texts[documents[at].id][ordinal], 1.0 / rank)
        for rank, (at, ordinal) in enumerate(hits, 1)
    )
    return Corpus(documents, texts, {doc.id: both for doc in documents}, found)


@st.composite
def corpora(draw: st.DrawFn) -> Corpus:
    rows = st.lists(st.integers(0, 30), min_size=1, max_size=12)
    sizes = draw(st.lists(rows, min_size=1, max_size=4))
    everywhere = [(at, ordinal) for at, row in enumerate(sizes) for ordinal in range(len(row))]
    hits = draw(st.lists(st.sampled_from(everywhere), max_size=10, unique=draw(st.booleans())))
    return corpus(sizes, hits, draw(st.integers(0, 12)), draw(st.integers(0, 12)))


def read(context: Context) -> list[tuple[str, int]]:
    return [p.at for block in context.blocks for p in block.passages]


def where(hit: Hit) -> tuple[str, int]:
    return hit.document.id, hit.passage.ordinal


def headings(made: Corpus, blocks: Sequence[Block]) -> Iterator[int]:
    named: set[str] = set()
    for block in blocks:
        heading = made.headings[block.document.id]
        yield heading.again if block.document.id in named else heading.first
        named.add(block.document.id)


POLICIES = st.sampled_from(get_args(Policy))


@given(corpora(), st.integers(0, 400), POLICIES)
def test_what_holds_of_every_context(made: Corpus, budget: int, policy: Policy) -> None:
    context = made.pack(budget, policy=policy)
    blocks = context.blocks
    assert context.budget == budget
    assert context.tokens == sum(headings(made, blocks)) + sum(block.tokens for block in blocks)
    assert context.tokens <= budget

    assert [block.number for block in blocks] == list(range(1, len(blocks) + 1))
    for block in blocks:
        assert all(after.ordinal == before.ordinal + 1 for before, after in pairwise(block.passages))
        assert {p.document_id for p in block.passages} == {block.document.id}
    read_of = {block.document.id: 0 for block in blocks}
    for block in blocks:
        read_of[block.document.id] += block.tokens
    order = [(-read_of[b.document.id], b.document.source, b.passages[0].ordinal) for b in blocks]
    assert context.whole_corpus or order == sorted(order), "the document that is read most comes first"
    for before, after in pairwise(blocks):
        if before.document == after.document:
            assert before.passages[-1].ordinal + 1 < after.passages[0].ordinal, (
                "runs that touch are one block"
            )

    there = read(context)
    assert len(there) == len(set(there))
    dropped = [(drop.document_id, ordinal) for drop in context.drops for ordinal in drop.ordinals]
    assert len(dropped) == len(set(dropped))
    assert set(dropped) == {where(hit) for hit in made.hits} - set(there)
    for drop in context.drops:
        assert drop.tokens == sum(made.texts[drop.document_id][ordinal].tokens for ordinal in drop.ordinals)

    holder = {
        place: block.number
        for block in blocks
        for place in [(block.document.id, p.ordinal) for p in block.passages]
    }
    assert list(context.ranking) == list(
        dict.fromkeys(holder[where(h)] for h in made.hits if where(h) in holder)
    )


@given(corpora(), st.integers(0, 400))
def test_packing_again_gives_the_same(made: Corpus, budget: int) -> None:
    assert made.pack(budget) == made.pack(budget)
    twice = [*made.hits, *made.hits]
    assert made.pack(budget, twice) == made.pack(budget), "a hit that comes twice counts once"


@given(corpora(), st.randoms(use_true_random=False), st.integers(0, 400))
def test_the_order_of_blocks_does_not_depend_on_that_of_hits(
    made: Corpus, random: object, budget: int
) -> None:
    shuffled = list(made.hits)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = made.pack(budget), made.pack(budget, shuffled)
    if set(read(one)) == set(read(other)):
        assert one.blocks == other.blocks
    assert made.pack(10_000).blocks == made.pack(10_000, shuffled).blocks


@given(corpora(), st.integers(0, 200), POLICIES)
def test_the_best_hit_is_read_whenever_it_fits(made: Corpus, budget: int, policy: Policy) -> None:
    """So more budget never reads less of it."""
    if not made.hits:
        return
    best = made.hits[0]
    fits = best.passage.tokens + made.headings[best.document.id].first <= budget
    assert (where(best) in read(made.pack(budget, policy=policy))) == fits


def test_a_best_hit_above_the_share_of_hits_goes_before_smaller_ones() -> None:
    made = corpus([[50], [30]], [(0, 0), (1, 0)], heading=0)
    assert read(made.pack(52)) == [(made.documents[0].id, 0)]


def test_neighbours_fill_what_hits_leave_the_following_one_first() -> None:
    made = corpus([[100] * 9], [(0, 4)], heading=2)
    assert [ordinal for _, ordinal in read(made.pack(102))] == [4]
    assert [ordinal for _, ordinal in read(made.pack(202))] == [4, 5]
    assert [ordinal for _, ordinal in read(made.pack(302))] == [3, 4, 5]
    assert len(read(made.pack(902))) == 9


def test_what_is_short_is_read_as_a_whole_before_the_next_best() -> None:
    made = corpus([[10] * 3, [10] * 3, [300] * 3], [(0, 1), (2, 1), (1, 0)], heading=0)
    short, other, long = (doc.id for doc in made.documents)
    hits = [replace(hit, score=score) for hit, score in zip(made.hits, (0.9, 0.85, 0.1), strict=True)]
    assert read(made.pack(30, hits)) == [(short, at) for at in range(3)]
    assert set(read(made.pack(330, hits))) == {*((short, at) for at in range(3)), (long, 1)}
    assert (other, 1) in read(made.pack(360, hits))


def test_a_neighbour_that_does_not_fit_is_not_leapt_over() -> None:
    made = corpus([[5, 5, 5, 500, 5, 5]], [(0, 2)], heading=2)
    assert [ordinal for _, ordinal in read(made.pack(100))] == [0, 1, 2]


def test_what_is_known_of_a_document_may_begin_anywhere_and_have_gaps() -> None:
    made = corpus([[5] * 20], [(0, 6), (0, 15)], heading=2)
    known = {
        id_: [p for p in tiles if p.ordinal in (5, 6, 7, 8, 15, 16)] for id_, tiles in made.texts.items()
    }
    context = pack(choose(made.hits, known), known, 1000, made.headings)
    assert [[p.ordinal for p in block.passages] for block in context.blocks] == [[5, 6, 7, 8], [15, 16]]
    assert context.tokens == 34


def test_a_gap_between_two_hits_closes_and_saves_a_heading() -> None:
    made = corpus([[10, 1, 10]], [(0, 0), (0, 2)], heading=5)
    context = made.pack(60)
    assert len(context.blocks) == 1
    assert context.tokens == 26


def test_hits_take_their_share_then_come_neighbours_then_further_hits() -> None:
    made = corpus([[10] * 3, [10] * 3, [10]], [(0, 1), (1, 1), (2, 0)], heading=0)
    ids = [doc.id for doc in made.documents]
    # 24 of 40 are for hits: two of them. The neighbours of the first take the rest, and the third is dropped.
    context = made.pack(40)
    assert read(context) == [(ids[0], 0), (ids[0], 1), (ids[0], 2), (ids[1], 1)]
    assert [drop.document_id for drop in context.drops] == [ids[2]]
    assert len(read(made.pack(70))) == 7


def ordinals(context: Context) -> list[int]:
    return [ordinal for _, ordinal in read(context)]


def test_further_blocks_of_a_document_cost_less_than_its_first() -> None:
    made = corpus([[10] * 9, [10] * 9], [(0, 0), (0, 4), (0, 8), (1, 0)], heading=9, again=2)
    assert read(made.pack(43, policy="passages")) == [(made.documents[0].id, at) for at in (0, 4, 8)]
    assert made.pack(62, policy="passages").tokens == 62


def test_passages_are_hits_alone() -> None:
    made = corpus([[10] * 9], [(0, 4), (0, 1)], heading=0)
    assert ordinals(made.pack(1000, policy="passages")) == [1, 4]


def test_sections_are_read_around_each_hit_and_nothing_beyond_them() -> None:
    made = corpus([[10] * 9], [(0, 4), (0, 8)], heading=0)
    (doc,) = made.documents
    made.texts[doc.id][:] = [
        replace(p, section=("One",) if 2 <= p.ordinal <= 5 else ("Other",)) for p in made.texts[doc.id]
    ]
    hits = [replace(hit, passage=made.texts[doc.id][hit.passage.ordinal]) for hit in made.hits]
    assert ordinals(made.pack(20, hits, "sections")) == [4, 5], "what follows comes first"
    assert ordinals(made.pack(30, hits, "sections")) == [3, 4, 5]
    assert ordinals(made.pack(40, hits, "sections")) == [2, 3, 4, 5]
    assert ordinals(made.pack(1000, hits, "sections")) == [2, 3, 4, 5, 6, 7, 8], "not over another section"


def test_documents_are_read_whole_best_first() -> None:
    made = corpus([[10] * 5, [10] * 5], [(1, 2), (0, 0)], heading=0)
    first, second = made.documents[1].id, made.documents[0].id
    assert read(made.pack(50, policy="documents")) == [(first, at) for at in range(5)]
    assert len(read(made.pack(100, policy="documents"))) == 10
    partly = made.pack(70, policy="documents")
    assert [at for id_, at in read(partly) if id_ == second] == [0, 1]
    assert partly.drops == ()


def test_auto_reads_another_page_before_more_of_the_same() -> None:
    made = corpus([[200] * 3, [200] * 3], [], heading=0)
    pages = {doc.id: [replace(p, page=1) for p in made.texts[doc.id]] for doc in made.documents}
    one, other = made.documents
    scores = [(one, 0, 0.80), (one, 2, 0.78), (other, 0, 0.75)]
    hits = [Hit(doc, pages[doc.id][at], score) for doc, at, score in scores]
    chosen = pack(choose(hits, pages), pages, 400, made.headings)
    assert read(chosen) == [(one.id, 0), (other.id, 0)]
    assert [(drop.ordinals, drop.tokens, drop.reason) for drop in chosen.drops] == [
        ((2,), 200, "over the token budget")
    ]
    assert read(pack(choose(hits, pages, "passages"), pages, 400, made.headings)) == [
        (one.id, 0),
        (one.id, 2),
    ]


def test_what_another_document_says_too_is_dropped_with_its_place() -> None:
    said = (
        "The harbour office of the island asks that every boat over its length be announced ahead of time. "
    )
    one, other = document("file:///d/one.txt"), document("file:///d/other.txt")
    texts = {doc.id: passages(doc, said) for doc in (one, other)}
    hits = [Hit(doc, texts[doc.id][0], 0.5 - at / 10) for at, doc in enumerate((one, other))]
    context = pack(choose(hits, texts), texts, 1000, {one.id: Heading(0, 0), other.id: Heading(0, 0)})
    assert read(context) == [(one.id, 0)]
    (drop,) = context.drops
    assert (drop.document_id, drop.ordinals, drop.tokens) == (other.id, (0,), hits[1].passage.tokens)
    assert drop.reason == "says the same as d/one.txt, line 1"


def test_nothing_fits() -> None:
    made = corpus([[50]], [(0, 0)])
    for budget in (-1, 0, 52):
        context = made.pack(budget)
        assert (context.blocks, context.tokens, context.ranking) == ((), 0, ())
        assert [drop.reason for drop in context.drops] == ["over the token budget"]


@given(corpora(), st.integers(0, 400))
def test_a_corpus_is_read_whole_or_not_at_all(made: Corpus, budget: int) -> None:
    needed = sum(p.tokens for tiles in made.texts.values() for p in tiles) + sum(
        h.first for h in made.headings.values()
    )
    context = pack_whole(made.documents, made.texts, budget, made.headings)
    assert (context is not None) == (needed <= budget)
    if context:
        assert (context.tokens, context.drops, context.whole_corpus) == (needed, (), True)
        assert [list(block.passages) for block in context.blocks] == [
            made.texts[d.id] for d in made.documents
        ]


def test_a_document_without_text_costs_nothing_and_makes_no_block() -> None:
    made = corpus([[5], [], [5]], [])
    context = pack_whole(made.documents, made.texts, 16, made.headings)
    assert context
    assert context.tokens == 16
    assert [(block.number, block.document) for block in context.blocks] == [
        (1, made.documents[0]),
        (2, made.documents[2]),
    ]


def test_two_documents_of_one_source_stay_apart() -> None:
    one, other = document("file:///same.txt"), document("file:///same.txt", id=str(UUID(int=0)))
    texts = {doc.id: passages(doc, "text") for doc in (one, other)}
    context = pack_whole([one, other], texts, 100, {one.id: Heading(1, 1), other.id: Heading(1, 1)})
    assert context
    assert [block.document.id for block in context.blocks] == [other.id, one.id]


def test_a_thousand_hits_in_long_documents_are_packed_at_once() -> None:
    many = [(rank % 10, (rank * 37) % 2000) for rank in range(1000)]
    tile = passages(document(), "text")[0]
    documents = [document(f"file:///{number}.txt") for number in range(10)]
    texts = {
        doc.id: [replace(tile, document_id=doc.id, ordinal=at, tokens=60) for at in range(2000)]
        for doc in documents
    }
    hits = [Hit(documents[at], texts[documents[at].id][ordinal], 1.0) for at, ordinal in many]
    began = time.process_time()
    context = pack(choose(hits, texts), texts, 500_000, {doc.id: Heading(20, 20) for doc in documents})
    assert (
        time.process_time() - began < 20
    )  # a quarter of a second; minutes if each hit were looked for in a list
    assert context.tokens > 499_000


def test_the_nearest_is_read_for_a_follow_up_whatever_the_scores() -> None:
    """A reranker's scores may all lie below zero."""
    case = corpus([[600] * 3], [(0, 0), (0, 2)])
    for scores, wanted in (((1.0, 0.9), 2), ((1.0, 0.5), 1), ((-1.0, -1.1), 2), ((-1.0, -5.0), 1)):
        hits = [replace(hit, score=score) for hit, score in zip(case.hits, scores, strict=True)]
        near = nearest(choose(hits, case.texts), case.texts)
        assert list(near.wanted) == [hit.passage.at for hit in hits[:wanted]]
