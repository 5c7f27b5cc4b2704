"""Lines of a text in a budget, and places that editors open."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import lines
from api.places import at, path_of, shown, spot
from rag.errors import BadRequest
from rag.types import Place, Span


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


@given(st.text(alphabet="ab\n\r\f\u2028"))
def test_lines_end_at_line_feeds_alone_and_nothing_is_lost(text: str) -> None:
    split = lines.split(text)
    assert "".join(split) == text
    assert len(split) == text.count("\n") + (not text.endswith("\n") and bool(text))


@given(st.lists(st.text(alphabet="ab", max_size=9).map(lambda text: text + "\n")), st.integers(1, 30))
def test_a_cut_is_the_beginning_and_fits(given_lines: list[str], budget: int) -> None:
    cut = lines.cut(given_lines, budget, characters)
    assert cut.tokens == len(cut.text) <= budget
    assert "".join(given_lines).startswith(cut.text)
    if cut.in_line:
        assert (cut.lines, cut.text) == (1, given_lines[0][:budget])
    else:
        assert cut.text == "".join(given_lines[: cut.lines])
        assert cut.lines == len(given_lines) or len("".join(given_lines[: cut.lines + 1])) > budget


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("", (1, 9)), ("3", (3, 3)), ("3-5", (3, 5)), ("3 - 5", (3, 5)), ("3-", (3, 9)), ("3-99", (3, 9))],
)
def test_lines_are_asked_for_as_people_write_them(asked: str, expected: tuple[int, int]) -> None:
    assert lines.asked(asked, 9) == expected


@pytest.mark.parametrize("asked", ["0", "0-3", "5-3", "10", "10-12", "-3", "a", "1-2-3", "1:2", "9" * 12])
def test_others_are_refused(asked: str) -> None:
    with pytest.raises(BadRequest):
        lines.asked(asked, 9)


def test_a_span_is_on_the_lines_that_it_touches() -> None:
    text = "one\ntwo\nthree\n"
    assert lines.around(text, Span(5, 6)) == (2, 2)
    assert lines.around(text, Span(4, 8)) == (2, 2)
    assert lines.around(text, Span(4, 9)) == (2, 3)
    assert lines.around(text, Span(0, 99)) == (1, 3)


def test_a_line_of_code_is_a_place_to_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    source = (tmp_path / "a b.py").as_uri()
    assert path_of(source) == f"{tmp_path}/a b.py"
    assert spot(source, Place(3, 5)) == f"{tmp_path}/a b.py:3-5"
    assert shown(f"{tmp_path}/a b.py:3") == "a b.py:3"
    assert shown("/elsewhere/a.py:3") == "/elsewhere/a.py:3"
    assert (at("a.py", 3), at("a.py", 3, 3), at("a.py", 3, 4)) == ("a.py:3", "a.py:3", "a.py:3-4")


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("file:///a.pdf", Place(1, 2, page=3)),
        ("file:///a.docx", Place(1, 2)),
        ("file:///a.ipynb", Place(1, 2)),
        ("file:///a", Place(1, 2)),
        ("https://host/a.py", Place(1, 2)),
    ],
)
def test_lines_that_an_editor_does_not_show_are_no_place(source: str, place: Place) -> None:
    assert spot(source, place) is None
