from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import document
from rag.links import LONGEST, SHARED, meant, mentions, names


@pytest.mark.parametrize(
    ("source", "title", "expected"),
    [
        ("file:///d/pump-manual.pdf", "Heron H2 Manual", ["heron h2 manual", "pump manual"]),
        ("file:///d/a.txt", "Mercury (planet)", ["mercury", "mercury planet"]),
        ("file:///d/a.txt", "a.txt", ["a txt"]),
        ("file:///d/x.txt", "Rain", ["rain"]),
        ("file:///d/x.txt", "Sea", []),  # as short as many a word
        ("file:///d/Lund%C2%A0notes.txt", "Åland", ["lund notes", "åland"]),
        ("file:///d/x.txt", " ".join(["Word"] * LONGEST), [" ".join(["word"] * LONGEST)]),
        ("file:///d/x.txt", " ".join(["Word"] * (LONGEST + 1)), []),
        ("file:///d/x.txt", "", []),
    ],
)
def test_a_document_is_called_by_its_title_and_its_file(source: str, title: str, expected: list[str]) -> None:
    assert names(document(source, title=title)) == expected


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("It was written by Ada Lovelace.", "ada lovelace"),
        ("See the Heron H2 Manual, chapter 2.", "heron h2 manual"),
        ("It goes on in 2026 Budget plans.", "2026 budget plans"),
        ("The Lord of the Rings was read.", "the lord of the rings"),
        ("the rain in Åland stays", "åland"),
        ("Read pump_manual.", "pump manual"),
        ("He wrote “Mercury” in 1962.", "mercury"),
    ],
)
def test_a_text_names_what_begins_with_a_capital_or_a_digit(text: str, called: str) -> None:
    assert (called in mentions(text)) == (called != "pump manual")  # small letters alone are words


def test_what_a_text_does_not_name() -> None:
    assert mentions("all small words here") == []
    assert mentions("He is an Ox.") == ["he is", "he is an", "he is an ox"]  # neither He nor Ox
    assert mentions("") == []
    longest = max(mentions("Aaaa " * 30), key=len)
    assert len(longest.split()) == LONGEST


@given(st.lists(st.sampled_from(["Ada", "of", "the", "2026", "Rings", "A", "Éire", "x"]), max_size=20))
def test_every_title_that_stands_in_a_text_is_found(words: list[str]) -> None:
    text = " ".join(words)
    found = set(mentions(text))
    for first in range(len(words)):
        for last in range(first + 1, min(first + LONGEST, len(words)) + 1):
            title = " ".join(words[first:last])
            called = names(document("file:///-", title=title))
            if called and not title[0].islower():
                assert found >= set(called)


def test_a_long_text_takes_time_in_proportion_to_its_length() -> None:
    began = time.process_time()
    assert len(mentions(" ".join(f"Word{at}" for at in range(10_000)))) > 10_000
    assert time.process_time() - began < 5


def test_a_name_that_many_documents_bear_tells_none_of_them() -> None:
    readmes = [document(f"file:///{at}/README.md", title="README.md") for at in range(SHARED + 1)]
    manual = document("file:///x/README.md", title="Heron manual")
    assert meant(readmes[:SHARED], {"readme"}) == readmes[:SHARED]
    assert meant(readmes, {"readme"}) == []
    assert meant([*readmes, manual], {"readme", "heron manual"}) == [manual]
    assert meant([manual], {"elsewhere"}) == []


def test_what_stands_in_brackets_is_found_behind_any_number_of_blanks() -> None:
    # Seconds for a tenth of them, where each blank is tried.
    blanks = " " * 1_000_000
    assert names(document("file:///d/a.txt", title=f"Mercury{blanks}(planet){blanks}")) == [
        "mercury",
        "mercury planet",
    ]
