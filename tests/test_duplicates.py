from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag.duplicates import without_duplicates
from rag.types import Hit

NOTICE = (
    "The harbour office of the island asks that every boat over twenty metres be announced two days ahead. "
)
OTHER = (
    "Seals of the tide gauge are changed each spring, before the storms, by the keeper of the north pier. "
)


def prose(first: int, last: int) -> str:
    """Words that are all different; no figures."""
    spelt = ("".join("abcdefghij"[int(digit)] for digit in str(at)) for at in range(first, last))
    return " ".join(f"wordly{each}" for each in spelt) + " "


def hit(source: str, *texts: str, at: int = 0) -> Hit:
    doc = document(f"file:///{source}")
    return Hit(doc, passages(doc, *texts)[at], 1.0)


def kept(*hits: Hit) -> list[str]:
    return [each.document.name for each in without_duplicates(hits)[0]]


def test_what_another_document_has_said_is_dropped_with_the_one_that_said_it() -> None:
    first, again, other = hit("a.txt", NOTICE), hit("b.txt", NOTICE.upper()), hit("c.txt", OTHER)
    assert without_duplicates([first, again, other]) == ([first, other], [(again, first)])


def test_nearly_the_same_is_the_same_and_half_of_it_is_not() -> None:
    assert kept(hit("a.txt", prose(0, 100)), hit("b.txt", prose(0, 100).replace("wordly", "worldly", 1))) == [
        "a.txt"
    ]
    assert kept(hit("a.txt", prose(0, 100)), hit("b.txt", prose(20, 120))) == ["a.txt", "b.txt"]
    assert kept(hit("a.txt", NOTICE), hit("b.txt", NOTICE + OTHER)) == ["a.txt", "b.txt"]


def test_a_part_says_nothing_new_and_the_whole_of_what_was_a_part_does() -> None:
    part, whole = hit("part.txt", NOTICE), hit("whole.txt", NOTICE + OTHER)
    assert kept(whole, part) == ["whole.txt"]
    assert kept(part, whole) == ["part.txt", "whole.txt"]


def test_another_number_is_news_and_one_less_is_not() -> None:
    """The same sentences of two years differ in their figures alone."""
    before, after = (
        prose(0, 100) + "It cost 400 crowns in 2025.",
        prose(0, 100) + "It cost 410 crowns in 2025.",
    )
    assert kept(hit("a.txt", before), hit("b.txt", after)) == ["a.txt", "b.txt"]
    assert kept(hit("a.txt", before), hit("b.txt", prose(0, 100))) == ["a.txt"]


def test_short_passages_are_alike_by_chance() -> None:
    assert kept(hit("a.txt", "Yes, on Monday."), hit("b.txt", "Yes, on Monday.")) == ["a.txt", "b.txt"]


def test_neighbours_are_kept_and_what_stands_further_off_in_the_document_is_not() -> None:
    one, two, three = (hit("a.txt", NOTICE, NOTICE, NOTICE, at=at) for at in range(3))
    assert without_duplicates([one, two, three]) == ([one, two], [(three, one)])


def test_a_neighbour_that_is_kept_does_not_hide_another_that_said_it() -> None:
    middle, elsewhere, after = (
        hit("a.txt", NOTICE, NOTICE, at=0),
        hit("b.txt", NOTICE),
        hit("a.txt", NOTICE, NOTICE, at=1),
    )
    assert without_duplicates([middle, elsewhere, after])[1] == [(elsewhere, middle)]
    said = [prose(0, 60), prose(20, 60)]
    first, better, third = hit("a.txt", *said), hit("b.txt", prose(20, 100)), hit("a.txt", *said, at=1)
    assert without_duplicates([first, better, third])[1] == [(third, better)]


TEXTS = st.lists(st.sampled_from([NOTICE, OTHER, "Short. "]), max_size=4).map("".join)


@given(st.lists(st.tuples(st.sampled_from("abcd"), TEXTS), max_size=8))
def test_every_hit_is_kept_or_dropped_for_a_better_one_that_is_kept(drawn: Sequence[tuple[str, str]]) -> None:
    hits = [hit(name, "x" * 3, text, at=1) for name, text in drawn]
    held, dropped = without_duplicates(hits)
    assert sorted([*held, *(each for each, _ in dropped)], key=hits.index) == sorted(hits, key=hits.index)
    for each, better in dropped:
        assert better in held
        assert hits.index(better) < len(hits) - 1 - hits[::-1].index(each)
    assert [*held] == [each for each in hits if each in held] or len(set(map(repr, hits))) < len(hits)
    assert without_duplicates(held) == (held, [])
