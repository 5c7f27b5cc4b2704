from __future__ import annotations

import importlib
import re
import subprocess
import sys
import unicodedata
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsed import Parsed, Region
from ingest.passages import Tile, _unrun, max_characters_for, passages, tile
from rag.types import Span


def sentences(text: str) -> list[str]:
    """A light stand-in for Punkt; like it, it drops blanks above the first sentence."""
    return re.findall(r"\S.*?(?:[.!?]\s+|\Z)", text, re.DOTALL)


def whole(text: str) -> Parsed:
    return Parsed(text, "t", (Region(0),) if text else ())


def texts(text: str, limit: int) -> list[str]:
    return [text[each.start : each.end] for each in tile(whole(text), limit, sentences)]


def words(batch: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in batch]


@st.composite
def documents(draw: st.DrawFn) -> Parsed:
    piece = st.one_of(
        st.text(max_size=60).map(lambda text: text.replace("\r", "")),
        st.sampled_from(
            ["\n", "\n\n", " \n \n", "One. Two! ", "\n\n    code()\n", "| a | b |\n", "e\u0301", "👩‍🚀"]
        ),
        st.text(alphabet="ab", min_size=50, max_size=200),
    )
    text = "".join(draw(st.lists(piece, max_size=20)))
    if not text:
        return whole("")
    starts = sorted({0, *draw(st.lists(st.integers(0, len(text) - 1), max_size=4))})
    return Parsed(text, "t", tuple(Region(start, page=page) for page, start in enumerate(starts, 1)))


def check(parsed: Parsed, tiles: Sequence[Tile], limit: int) -> None:
    assert "".join(parsed.text[each.start : each.end] for each in tiles) == parsed.text
    assert all(0 < each.end - each.start <= limit for each in tiles)
    ends = [region.start for region in parsed.regions[1:]] + [len(parsed.text)]
    for region, end in zip(parsed.regions, ends, strict=bool(parsed.regions)):
        inside = [each for each in tiles if each.region == region]
        assert (inside[0].start, inside[-1].end) == (region.start, end)


@given(documents(), st.integers(1, 120))
def test_tiles_are_the_text(parsed: Parsed, limit: int) -> None:
    check(parsed, list(tile(parsed, limit, sentences)), limit)


@pytest.mark.models
@given(documents(), st.integers(1, 120))
def test_tiles_are_the_text_with_punkt(parsed: Parsed, limit: int) -> None:
    check(parsed, list(tile(parsed, limit)), limit)


@given(documents(), st.integers(1, 120))
def test_passages_know_their_place(parsed: Parsed, limit: int) -> None:
    made = passages(parsed, "d", "r", words, limit, sentences)
    assert "".join(each.text for each in made) == parsed.text
    assert [each.ordinal for each in made] == list(range(len(made)))
    assert len({each.id for each in made}) == len(made)
    for each in made:
        assert parsed.text[each.start : each.end] == each.text
        assert each.line == 1 + parsed.text.count("\n", 0, each.start)
        assert each.place(Span(each.start, each.end)).line_start == each.line


def test_ids_depend_on_document_revision_and_ordinal_only() -> None:
    def ids(text: str, document: str, revision: str) -> list[str]:
        return [each.id for each in passages(whole(text), document, revision, words, 10, sentences)]

    assert ids("one two three", "d", "r") == ids("one six seven", "d", "r")
    assert ids("one", "d", "r") != ids("one", "d", "s")
    assert ids("one", "d", "r") != ids("one", "e", "r")


def test_tokens_are_counted_in_one_call() -> None:
    calls = []

    def counts(batch: Sequence[str]) -> list[int]:
        calls.append(len(batch))
        return words(batch)

    made = passages(whole("one two\n\nthree\n\n" * 20), "d", "r", counts, 40, sentences)
    assert calls == [len(made)]
    assert sum(each.tokens for each in made) == 60


def test_paragraphs_are_kept_whole_and_merged() -> None:
    text = "a" * 30 + "\n\n" + "b" * 30 + "\n\n" + "c" * 60
    assert texts(text, 70) == ["a" * 30 + "\n\n" + "b" * 30 + "\n\n", "c" * 60]


def test_lines_stay_whole_where_paragraphs_cannot() -> None:
    table = "".join(f"| row {number} | {'x' * 20} |\n" for number in range(20))
    assert all(each.startswith("| row") and each.endswith("|\n") for each in texts(table, 100))


def test_wrapped_text_is_cut_after_a_sentence() -> None:
    text = "The gauge hangs over\nthe water. It sends a\npulse every second.\nNothing touches the\nwater below it.\n"
    assert texts(text, 80) == [text[: text.index("Nothing")], text[text.index("Nothing") :]]


def test_long_lines_are_cut_after_sentences_then_words() -> None:
    assert texts("One two three. Four five six. Seven eight nine.", 31) == [
        "One two three. Four five six. ",
        "Seven eight nine.",
    ]
    assert texts("alpha beta gamma delta", 12) == ["alpha beta ", "gamma delta"]


def test_indentation_begins_its_line_and_blank_lines_end_what_is_above() -> None:
    code = "def a():\n    return 1\n\n\n    # inner\n    x = 2\n"
    assert texts(code, 30) == ["def a():\n    return 1\n\n\n", "    # inner\n    x = 2\n"]


def test_a_heading_is_not_left_alone_above_a_long_paragraph() -> None:
    body = "First sentence here. " * 4
    tiles = texts("## Title\n\n" + body.strip(), 84)
    assert tiles[0].startswith("## Title\n\nFirst")


def test_no_remnant_at_the_end() -> None:
    text = "".join(f"line number {number:02d}\n" for number in range(11))
    tiles = texts(text, 150)
    assert len(tiles) == 2
    assert min(map(len, tiles)) > 60


def test_a_character_is_not_parted_from_its_accents() -> None:
    text = "e\u0301" * 50 + "👩\u200d🚀" * 20
    for limit in range(4, 20):
        for each in texts(text, limit):
            assert not unicodedata.combining(each[0])
            assert each[0] != "\u200d"
            assert each[-1] != "\u200d"


def test_a_giant_without_any_break_takes_no_time() -> None:
    tiles = texts("x" * 2_000_000, 900)
    assert len(tiles) == -(-2_000_000 // 900)


def test_an_empty_text_has_no_tiles() -> None:
    assert texts("", 10) == []


def test_a_limit_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        list(tile(whole("a"), 0))


def test_tile_size_follows_the_embedder() -> None:
    assert max_characters_for(256) == 904
    assert max_characters_for(8) == 100


def test_punkt_costs_little_to_import() -> None:
    code = (
        "import sys\n"
        "from ingest.passages import punkt_sentences\n"
        "print(punkt_sentences('Read the staff. Write it down.'))\n"
        "heavy = ('llama_index', 'numpy', 'pandas', 'scipy', 'sklearn', 'nltk.corpus', 'nltk.parse')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['Read the staff. ', 'Write it down.']\n[]\n"


def test_a_package_that_was_not_run_for_an_import_is_run_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "wsgiref"]:  # by whatever ran before
        monkeypatch.delitem(sys.modules, name)
    with _unrun("wsgiref", "json"):
        assert importlib.import_module("wsgiref.headers")
        assert not importlib.import_module("wsgiref").__doc__
        assert hasattr(importlib.import_module("json"), "loads")  # it was imported before
    whole = importlib.import_module("wsgiref")
    assert whole.__doc__
    importlib.import_module("wsgiref.headers")
    assert hasattr(whole, "headers")
