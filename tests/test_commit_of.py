"""Which commit a source is of, and what a collection remembers of several repositories."""

from __future__ import annotations

from rag.repository import Repository, commit_of, dump, joined, load

WHOLE = Repository("/r", commit="1", dirty=("a.py", "docs/x.md"))
DOCS = Repository("/r", "docs", commit="2", ref="main")


def test_the_nearest_folder_says_the_commit() -> None:
    both = (WHOLE, DOCS)
    assert [commit_of(both, f"file:///r/{path}") for path in ("b.py", "a.py", "a.py/inner.txt", "docs/x.md")] == [
        "1", "", "", "2",
    ]  # fmt: skip
    assert commit_of(both, "file:///r2/b.py") == ""
    assert commit_of((), "file:///r/b.py") == ""


def test_names_that_are_no_utf_8_come_back() -> None:
    odd = Repository("/r", commit="1", dirty=("caf\udce9.txt",))
    assert load(dump([odd])) == (odd,)
    assert commit_of([odd], "file:///r/caf%E9.txt") == ""
    assert commit_of([odd], "file:///r/caf%C3%A9.txt") == "1"


def test_a_folder_takes_the_place_of_those_below_it() -> None:
    other = Repository("/other", commit="9")
    assert joined([WHOLE], [DOCS, other]) == (other, WHOLE)
    assert joined([DOCS], [WHOLE]) == (WHOLE, DOCS)
    same = Repository("/r", "docs", commit="1")
    assert joined([same, WHOLE], []) == (WHOLE,)
    assert joined([DOCS, WHOLE], []) == (WHOLE, DOCS)
