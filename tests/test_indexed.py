from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import document, passages
from rag.indexed import dense_text, name, parted, sparse_text
from rag.types import Document, Passage

REPORT = document("file:///reports/ACME_2022_10K.pdf", title="Annual report")
TABLE = """Cash flows in millions:

| | 2022 | 2021 |
|---|---:|:---:|
| Net income | $ 1,234.5 | (987) |
| Margin | 12.5 % | — |
| | 17 | 18 |

After the table."""


def tile(text: str, doc: Document = REPORT, **fields: object) -> Passage:
    return replace(passages(doc, text)[0], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "title", "expected"),
    [
        ("file:///reports/ACME_2022_10K.pdf", "Annual report", "ACME 2022 10K: Annual report"),
        ("file:///reports/ACME_2022_10K.pdf", "ACME_2022_10K.pdf", "ACME 2022 10K"),
        ("file:///reports/ACME_2022_10K.pdf", "acme 2022 10k", "ACME 2022 10K"),
        ("file:///d/heron.md", "The Heron manual", "The Heron manual"),
        ("file:///d/heron.md", "", "heron"),
    ],
)
def test_a_documents_name_says_file_and_title_once(source: str, title: str, expected: str) -> None:
    assert name(document(source, title=title)) == expected


def test_the_vector_sees_name_nearest_heading_and_the_labels_of_a_table() -> None:
    seen = dense_text(REPORT, tile(TABLE, section=("Item 8", "Cash flows")))
    assert seen == (
        "ACME 2022 10K: Annual report > Cash flows\n"
        "Cash flows in millions:\n\n2022 2021\nNet income\nMargin\n\nAfter the table."
    )


def test_bm25_sees_the_whole_heading_path_and_every_figure() -> None:
    seen = sparse_text(REPORT, tile(TABLE, section=("Item 8", "Cash flows")))
    assert seen.startswith(f"ACME 2022 10K: Annual report > Item 8 > Cash flows\n{TABLE}")


def test_a_sheet_stands_before_the_heading() -> None:
    made = tile("| Pump | 400 |", sheet="Costs", section=("Parts",))
    assert dense_text(REPORT, made) == "ACME 2022 10K: Annual report > Costs > Parts\nPump"
    assert sparse_text(REPORT, made).startswith(
        "ACME 2022 10K: Annual report > Costs > Parts\n| Pump | 400 |"
    )


@pytest.mark.parametrize(
    "figure", ["1", "-12", "1,234.5", "$ 1.2", "(987)", "12.5 %", "€3", "—", "–", "-", "0.5x", "$", ""]
)
def test_cells_that_are_figures_are_left_out_of_the_vector(figure: str) -> None:
    assert dense_text(REPORT, tile(f"| Net income | {figure} |")).endswith("\nNet income")


@pytest.mark.parametrize("label", ["2022", "1999", "H2", "Q4", "3M", "10-K", "Total", "E-4711", "§ 5"])
def test_cells_that_say_something_stay(label: str) -> None:
    assert dense_text(REPORT, tile(f"| {label} | 12 |")).endswith(f"\n{label}")


@pytest.mark.parametrize("text", ["12", "a | b", "    | 3 |", "1,234 of them"])
def test_what_is_no_row_of_a_table_is_kept_as_it_is(text: str) -> None:
    assert dense_text(REPORT, tile(text)).endswith(f"\n{text}")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("getValue", "get Value"),
        ("HTTPServer2", "HTTP Server 2"),
        ("FY2017", "FY 2017"),
        ("10K", "10 K"),
        ("parse_HTMLPage", "HTML Page"),
    ],
)
def test_a_compound_is_followed_by_its_parts(text: str, parts: str) -> None:
    assert parted(text) == f"{text} {parts}"


@pytest.mark.parametrize("text", ["plain words", "Ada Lovelace", "USA", "2017", "E-4711", "", "max_tokens"])
def test_other_words_stay_as_they_are(text: str) -> None:
    assert parted(text) == text


@pytest.mark.parametrize("unit", ["a", "A", "1", "aB", "a1", "é"])
def test_a_word_without_end_takes_time_in_proportion_to_its_length(unit: str) -> None:
    began = time.process_time()
    parted(unit * 100_000)
    assert time.process_time() - began < 5


@given(st.text(max_size=80))
def test_what_is_seen_holds_any_text(text: str) -> None:
    assert parted(text).startswith(text)
    if "|" not in text:
        assert dense_text(REPORT, tile(text or "x")).endswith(f"\n{text or 'x'}")


def test_what_a_definition_is_for_counts_twice_in_bm25_and_is_seen_once_by_the_vector() -> None:
    app = replace(document("file:///flask/app.py", title="flask.app"), code="python")
    made = replace(tile('def run():\n    """Serves the app."""', app), doc="Serves the app.")
    assert sparse_text(app, made).count("Serves the app.") == 2
    assert dense_text(app, made).count("Serves the app.") == 1


def test_of_code_both_see_the_qualified_name_and_what_a_later_passage_goes_on_with() -> None:
    app = replace(document("file:///flask/app.py", title="flask.app"), code="python")
    first = tile("def fromEnv(): ...", app, section=("Config", "from_env"))
    assert dense_text(app, first) == "flask.app Config from_env\ndef fromEnv(): ..."
    later = replace(first, text="    return x", about="def from_env(): Reads. " + "w " * 200)
    assert dense_text(app, later).split("\n")[1].startswith("def from_env(): Reads. w w")
    assert len(dense_text(app, later)) < 250
    assert sparse_text(app, first).endswith("def fromEnv(): ... from Env")
    assert dense_text(app, replace(first, section=())) == "flask.app\ndef fromEnv(): ..."
