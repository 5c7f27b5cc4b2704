from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import document
from rag.text import cased_words, label, repetition, sentences, words
from rag.types import Span

PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            ". ",
            "! ",
            "?) ",
            "\n",
            "\n\n",
            "e.g. ",
            "No. 5 ",
            "3.14",
            "A. ",
            "| a |\n",
            "。",
            "「水。」",
            "1. ",
        ]
    ),
)
TEXTS = st.lists(PIECES, max_size=25).map("".join)


def split(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences(text)]


@given(TEXTS)
def test_sentences_are_trimmed_in_order_and_cover_everything_but_white_space(text: str) -> None:
    spans = sentences(text)
    assert all(span.start < span.end for span in spans)
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert all(text[span.start : span.end] == text[span.start : span.end].strip() for span in spans)
    assert all("\n\n" not in text[span.start : span.end] for span in spans)
    covered = {at for span in spans for at in range(span.start, span.end)}
    assert not [at for at, sign in enumerate(text) if at not in covered and not sign.isspace()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It lasts. It ends! Does it? Yes.", ["It lasts.", "It ends!", "Does it?", "Yes."]),
        ("It costs 3.50 crowns. Really.", ["It costs 3.50 crowns.", "Really."]),
        ("See e.g. Table 2. Then go on.", ["See e.g. Table 2.", "Then go on."]),
        (
            "Dr. Lindqvist met J. Doe of the U.S. Navy. They left.",
            ["Dr. Lindqvist met J. Doe of the U.S. Navy.", "They left."],
        ),
        ("Well No. 5 is dry. No. It is wet.", ["Well No. 5 is dry.", "No.", "It is wet."]),
        ("Code E-4711 means wet. Dry it.", ["Code E-4711 means wet.", "Dry it."]),
        (
            'He said "stop." Then he left (at 5.) Alone.',
            ['He said "stop."', "Then he left (at 5.)", "Alone."],
        ),
        ("**It is bold.** *So is this.* End", ["**It is bold.**", "*So is this.*", "End"]),
        ("1. First thing. 2. Second thing.\n3. Third", ["1. First thing.", "2. Second thing.", "3. Third"]),
        ("The answer is 42. 7 is not.", ["The answer is 42.", "7 is not."]),
        ("| Pack | 400 days |\n|---|---|\nx = y", ["| Pack | 400 days |", "|---|---|", "x = y"]),
        ("Привет, мир. Как дела? Ça va. Österreich.", ["Привет, мир.", "Как дела?", "Ça va.", "Österreich."]),
        ("水位は高い。電池は「新しい。」と言う。", ["水位は高い。", "電池は「新しい。」", "と言う。"]),
        ("wait... what? no", ["wait... what? no"]),
        (
            "The gauge measures the distance to the water and reports\nthe level above its zero. To get it to the\nmap",
            [
                "The gauge measures the distance to the water and reports\nthe level above its zero.",
                "To get it to the\nmap",
            ],
        ),
        (
            "It was repaired in the spring of that year by the\nTide Committee of Skerrow and its own mem-\nbers. End.",
            [
                "It was repaired in the spring of that year by the\nTide Committee of Skerrow and its own mem-\nbers.",
                "End.",
            ],
        ),
        (
            "A heading that is as long as any line of the text below\nThe text begins here.",
            ["A heading that is as long as any line of the text below", "The text begins here."],
        ),
        (
            "    assert value == expected_value_of_the_first_row(table)\n    return value",
            ["assert value == expected_value_of_the_first_row(table)", "return value"],
        ),
        (
            "| Measuring range of the gauge in metres | 15 |\nthe next",
            ["| Measuring range of the gauge in metres | 15 |", "the next"],
        ),
        ("", []),
        (" \n\t\n ", []),
    ],
)
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert split(text) == expected


@pytest.mark.parametrize("unit", ["A. ", "Dr. ", ". (", ".'", " ", "\n", "(", "1.", "a'", " -5"])
def test_a_long_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()
        sentences(text)
        words(text)
        return time.process_time() - began

    # Ten times the text takes about ten times as long; were it quadratic, a hundred times.
    small, large = (min(seconds(size) for _ in range(3)) for size in (4_000, 40_000))
    assert large < 40 * small + 0.05


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Pump's E-4711", ["the", "pump's", "e", "4711"]),
        ("1,000.5 at 12:30 on 2026-05-03", ["1,000.5", "at", "12:30", "on", "2026-05-03"]),
        ("5% or 5 % or 5", ["5%", "or", "5%", "or", "5"]),
        ("-20 to −5, 3-5, 3–5, (-1)", ["-20", "to", "-5", "3-5", "3-5", "-1"]),
        ("max_tokens v1.2 5km", ["max_tokens", "v1", "2", "5", "km"]),
        ("don’t don't", ["don't", "don't"]),
        ("cafe\u0301 café ﬁle so\u00adft", ["café", "café", "file", "soft"]),
        ("水位 мир", ["水位", "мир"]),
        ("_ ' - % …", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(st.sampled_from("aZ9_' -.,:/%([|=<\n")))
def test_words_of_ascii_are_those_of_any_text(text: str) -> None:
    """A character beyond ASCII makes it a text like any other."""
    assert [*words(text), "ж"] == words(f"{text} ж")
    assert [*cased_words(text), "Ж"] == cased_words(f"{text} Ж")


@given(TEXTS)
def test_words_of_any_text_are_not_empty_and_do_not_depend_on_their_case(text: str) -> None:
    assert all(words(text))
    assert [word.lower() for word in cased_words(text)] == words(text)


def test_a_label_says_file_and_title_once() -> None:
    assert label(document("file:///a/samples/manual.pdf", title="Heron H2")) == "samples/manual.pdf: Heron H2"
    assert label(document("file:///a/samples/manual.pdf", title="manual.pdf")) == "samples/manual.pdf"
    assert label(document("file:///a/b.txt", title="About a/b.txt")) == "About a/b.txt"
    assert label(document("file:///a/b.txt", title="")) == "a/b.txt"


def test_repetition_is_found_at_the_second_start() -> None:
    text = "The pack lasts long. It is so. The pack lasts long. It is so. The pack lasts long."
    assert repetition(text) == text.index("The pack", 5)
    listed = "1. The pack lasts long.\n2. The pack lasts long.\n3. The pack lasts long."
    assert repetition(listed) == listed.index("2.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The pack lasts long. The pack lasts long.",
        "Yes. Yes. Yes. Yes.",
        "The pack lasts 1 day. The pack lasts 2 days. The pack lasts 3 days.",
        "```python\nraise NotImplementedError\nraise NotImplementedError\nraise NotImplementedError\n```",
    ],
)
def test_what_is_no_repetition(text: str) -> None:
    assert repetition(text) is None


def test_after_code_repetition_counts_again() -> None:
    text = "```\nx\n```\n" + "It is the same again.\n" * 3
    found = repetition(text)
    assert found is not None
    assert text[found:] == "It is the same again.\n" * 2


def test_a_span_must_go_forward() -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span(2, 1)
