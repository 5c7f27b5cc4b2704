from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import document
from rag.errors import BadRequest
from rag.filters import admits, check, names
from rag.question import Filter

TEAM = document(
    "file:///srv/Team%20docs/handbook/Pump%20manual.PDF",
    media_type="application/pdf",
    modified_at="2026-03-05T23:59:59+00:00",
    fields={"Author": "Ada", "tags": ["pumps", "Sea"], "empty": ""},
)
UNDATED = document("file:///srv/notes.md", media_type="text/markdown")


@pytest.mark.parametrize(
    ("glob", "matches"),
    [
        ("Pump manual.PDF", True),
        ("pump MANUAL.pdf", True),
        ("*.pdf", True),
        ("handbook/*.pdf", True),
        ("team docs/*.pdf", True),  # * goes over folders
        ("team docs/*", True),
        ("/srv/*", True),
        ("/srv/team docs/handbook/pump manual.pdf", True),
        ("book/*.pdf", False),  # the end of a path begins at a folder
        ("manual.pdf", False),
        ("/handbook/*.pdf", False),  # and a path that begins at the root is all of it
        ("handbook", False),
        ("*.md", False),
        ("Team%20docs/*", False),
        ("pump?manual.[op]df", True),
        ("", False),
    ],
)
def test_a_glob_is_compared_with_the_path_or_its_end(glob: str, matches: bool) -> None:
    assert admits(Filter(paths=(glob,)), TEAM) == matches


@pytest.mark.parametrize("name", ["app/[id]/page.tsx", "[id]/page.tsx", "page.tsx", "/w/app/[id]/page.tsx"])
def test_a_name_that_looks_like_a_glob_names_its_file(name: str) -> None:
    assert admits(Filter(paths=(name,)), document("file:///w/app/%5Bid%5D/page.tsx"))


@pytest.mark.parametrize(
    ("kind", "matches"),
    [
        ("pdf", True),
        (".pdf", True),
        ("PDF", True),
        ("application/pdf", True),
        ("Application/*", True),
        ("text/*", False),
        ("df", False),
        ("md", False),
        ("", False),
    ],
)
def test_types_are_endings_or_media_types(kind: str, matches: bool) -> None:
    assert admits(Filter(types=(kind,)), TEAM) == matches


@pytest.mark.parametrize(
    ("since", "until", "matches"),
    [
        ("2026-03-05", "", True),
        ("", "2026-03-05", True),
        ("2026-03-05", "2026-03-05", True),
        ("2026-03-06", "", False),
        ("", "2026-03-04", False),
        ("2025-12-31", "2026-12-31", True),
    ],
)
def test_days_are_inclusive(since: str, until: str, matches: bool) -> None:
    assert admits(Filter(since=since, until=until), TEAM) == matches


@pytest.mark.parametrize("among", [Filter(since="1970-01-01"), Filter(until="2999-01-01")])
def test_a_file_whose_day_is_not_known_lies_in_no_time(among: Filter) -> None:
    assert not admits(among, UNDATED)


@given(st.dates(), st.dates(), st.dates())
def test_days_are_compared_as_days(since: date, until: date, changed: date) -> None:
    among = Filter(since=since.isoformat(), until=until.isoformat())
    check(among)
    doc = document(modified_at=f"{changed.isoformat()}T12:00:00+00:00")
    assert admits(among, doc) == (since <= changed <= until)


@pytest.mark.parametrize(
    "day",
    ["yesterday", "2026-02-30", "2026-1-5", "20260105", "2026-W05-1", "2026-01-05T10:00", " 2026-01-05"],
)
@pytest.mark.parametrize("end", ["since", "until"])
def test_what_is_no_day_is_refused_with_the_way_to_write_one(day: str, end: str) -> None:
    with pytest.raises(BadRequest, match="is not a day") as caught:
        check(Filter(**{end: day}))  # type: ignore[arg-type]
    assert "2026-01-31" in caught.value.hint


@pytest.mark.parametrize(
    "among",
    [
        Filter(paths=("\ud800",)),
        Filter(types=("\udfff",)),
        Filter(headings=("a", "\ud83d")),
        Filter(fields={"\ud800": "a"}),
        Filter(fields={"a": "\ud800"}),
    ],
)
def test_half_a_character_is_refused(among: Filter) -> None:
    with pytest.raises(BadRequest, match="half a character"):
        check(among)


@pytest.mark.parametrize(
    ("among", "said"),
    [
        (Filter(paths=("a",) * 60, fields=dict.fromkeys(map(str, range(30)), "b")), "120 conditions"),
        (Filter(headings=("*" * 1001,)), "1,001 characters"),
    ],
)
def test_what_would_take_long_to_compare_is_refused(among: Filter, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        check(among)
    check(Filter(paths=("a",) * 100, headings=()))


def test_other_characters_are_taken() -> None:
    check(Filter(paths=("ä/日本/😀*",), fields={"größe": "é"}))


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"Author": "Ada"}, True),
        ({"author": "ADA"}, True),
        ({"author": "Ad"}, False),
        ({"tags": "sea"}, True),
        ({"tags": "pumps"}, True),
        ({"tags": "pumps, sea"}, False),
        ({"author": "Ada", "tags": "Sea"}, True),
        ({"author": "Ada", "tags": "lakes"}, False),
        ({"empty": ""}, True),
        ({"absent": ""}, False),
    ],
)
def test_fields_hold_a_value_or_a_list_of_them(fields: dict[str, str], matches: bool) -> None:
    assert admits(Filter(fields=fields), TEAM) == matches


def test_all_conditions_must_hold_and_one_glob_or_type_of_several() -> None:
    whole = Filter(
        paths=("*.md", "handbook/*"),
        types=("md", "pdf"),
        since="2026-01-01",
        until="2026-12-31",
        fields={"author": "ada"},
    )
    assert admits(whole, TEAM)
    for each in (
        Filter(paths=("*.md",), types=("pdf",)),
        Filter(paths=("handbook/*",), types=("md",)),
        Filter(paths=("handbook/*",), since="2027-01-01"),
        Filter(types=("pdf",), fields={"author": "Bob"}),
    ):
        assert not admits(each, TEAM)
    assert admits(Filter(), TEAM)
    assert admits(Filter(headings=("nowhere",)), TEAM), "headings say nothing about documents"


def test_headings_are_globs_without_case() -> None:
    among = Filter(headings=("risk*", "Item 7?"))
    assert names(among, "Risk factors")
    assert names(among, "ITEM 7A")
    assert not names(among, "Market risk")
    assert not names(among, "Item 7")
    assert names(Filter(headings=("[draft] plan",)), "[Draft] Plan")


def test_a_filter_that_says_nothing_is_false() -> None:
    assert not Filter()
    for each in (
        Filter(paths=("a",)),
        Filter(types=("a",)),
        Filter(since="a"),
        Filter(until="a"),
        Filter(fields={"a": ""}),
    ):
        assert each
        assert each.of_documents
    assert Filter(headings=("a",))
    assert not Filter(headings=("a",)).of_documents
