from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.tables import rows
from rag.terms import _DIVIDED, terms
from rag.text import sentences


def stems(text: str) -> list[str]:
    return [term.stem for term in terms(text)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000 pumps", "1000 pumps"),
        ("1 000 000", "1 000 000"),
        ("one thousand pumps", "1,000 pumps"),
        ("twelve pumps", "12 pumps"),
        ("twenty-five pumps", "25 pumps"),
        ("two hundred thousand", "200,000"),
        ("1.2 million", "1,200,000"),
        ("1.2 billion", "1,200 million"),
        ("5 percent", "5 %"),
        ("5 per cent", "5%"),
        ("five percent", "5%"),
        ("7.50 metres", "7.5 metres"),
        ("$400", "400 dollars"),
        ("US$ 5 million", "5,000,000 dollars"),
        ("€3", "3 euros"),
        ("3 May 2026", "2026-05-03"),
        ("May 3, 2026", "03.05.2026"),
        ("3rd of May 2026", "May 3 2026"),
        ("Jan 7 2025", "2025/01/07"),
        ("2017–2019", "2017-2019"),
        ("2017 to 2019", "2017-2019"),
        ("−20 °C", "-20 °C"),
        ("٤٠٠", "400"),
        ("４００", "400"),
        ("long-term plans", "long term plan"),
        ("an association", "they are associated"),
        ("improvements", "improved"),
        ("the pump's seal", "the seals of pumps"),
        ("café", "cafe\u0301"),
    ],
)
def test_the_same_in_other_words(one: str, other: str) -> None:
    assert sorted(stems(one)) == sorted(stems(other)) != []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5 percentage points", "5 percent"),
        ("1.2 million", "1.2 billion"),
        ("0417", "417"),
        ("4.3.0", "4.3"),
        ("10:30", "1030"),
        ("1/2", "12"),
        ("-20", "20"),
        ("3 May 2026", "2026-03-05"),
        ("twelve", "twenty"),
        ("$5", "€5"),
    ],
)
def test_not_the_same(one: str, other: str) -> None:
    assert sorted(stems(one)) != sorted(stems(other))


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("The pump must not be opened under water", ["open", "under"]),
        ("There is no significant difference between them", ["significant", "differenc"]),
        ("The pump doesn't leak, and the seal holds", ["leak"]),
        ("Not only pumps leak", []),
        ("Well No. 5 is dry", []),
        ("It is not without charm", []),
        ("该泵不可以", ["泵不", "不可", "可以"]),
    ],
)
def test_what_is_denied(text: str, denied: list[str]) -> None:
    assert [term.stem for term in terms(text) if term.denied] == denied


def test_a_number_knows_what_it_counts() -> None:
    assert [term.word for term in terms("It lasts 400 cold days or 2 years") if term.measures] == [
        "cold",
        "years",
    ]


def test_a_divided_word_is_there_whole_and_in_parts() -> None:
    assert {"informat", "infor", "mation", "longterm", "long", "term"} <= set(
        stems("infor-\nmation for the long-\nterm")
    )


@given(st.text(alphabet="ab1_-\n é", max_size=40))
def test_words_are_put_together_as_if_each_letter_were_tried(text: str) -> None:
    assert _DIVIDED.findall(text) == re.findall(r"([^\W\d_]+)-\n([^\W\d_]+)", text)


def test_a_long_run_of_letters_takes_no_time() -> None:
    # A million letters: milliseconds, and days where each letter is tried.
    assert _DIVIDED.search("ACGT" * 250_000) is None


@given(st.text(max_size=80))
def test_any_text_has_terms_with_stems(text: str) -> None:
    assert all(term.stem and term.word for term in terms(text))


def test_rows_know_their_headings_and_their_scale() -> None:
    table = "| Item | 2026 |\n|---|---|\n| Pump | 7.5 |\n| Share | 5 % |\n"
    text = f"All amounts in thousands of crowns\n\n{table}\nEnd |\n| x |"
    found = rows(text, sentences(text))
    assert {at: row.header for at, row in found.items()} == {1: 1, 2: 1, 3: 1, 4: 1, 6: 6}
    assert [term.stem for term in found[3].terms] == ["pump", "7.5", "7500"]
    assert [term.stem for term in found[4].terms] == ["shar", "5%"]
