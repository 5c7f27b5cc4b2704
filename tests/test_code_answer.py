"""A question on a repository, from its files to a citation that names lines and commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evals.citations import verify
from fake_engine import engine_over, fake_store
from fakes import FakeGenerator
from git_house import Repo, Shelf
from rag.question import Question
from rag.types import Answer

TAP = '''"""Taps."""


class Tap:
    """A tap of the harbour."""

    def drain(self, litres: int) -> str:
        """Opens the lower valve until so many litres are gone."""
        return lower_valve(litres)


def lower_valve(litres: int) -> str:
    return "closed after " + str(litres)
'''
SAID = "Opens the lower valve until so many litres are gone."


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "harbour")
    made.commit(tap_py=TAP, readme_md="# Harbour\n\nTaps and valves.\n")
    return made


async def asked(tmp_path: Path, *paths: Path) -> Answer:
    """Its citation is what supports it, whichever block the model named."""
    store = fake_store(tmp_path / "store")
    try:
        shelf = Shelf(engine_over(store, tmp_path, FakeGenerator(f"{SAID} [1]")))
        shelf.run(*paths)
        answer = await shelf.engine.rag.answer(Question("What does Tap.drain do?", "c"))
        return replace(answer, citations=tuple(c for c in answer.citations if c.grade == "exact"))
    finally:
        store.close()


async def test_a_citation_names_lines_and_commit_and_holds_after_the_file_has_changed(
    repo: Repo, tmp_path: Path
) -> None:
    answer = await asked(tmp_path, repo.root)
    (citation,) = answer.citations
    assert citation.source.endswith("/tap.py")
    assert (citation.place.line_start, citation.place.line_end) == (8, 8)
    assert citation.commit == str(repo.git.head.target)
    repo.write("tap.py", "gone = True\n")
    assert [verdict.problem for verdict in verify(answer)] == [""]


async def test_a_file_that_differs_from_its_commit_is_cited_without_one(repo: Repo, tmp_path: Path) -> None:
    repo.write("tap.py", f"\n{TAP}")
    (citation,) = (await asked(tmp_path, repo.root)).citations
    assert citation.commit == ""
    assert citation.place.line_start == 9
