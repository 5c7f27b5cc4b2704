"""The documentation says what the code does: settings and help texts are generated, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import make_docs
from conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_generated_parts_are_fresh(page: Path) -> None:
    text = page.read_text()
    assert make_docs.rewritten(text) == text, "run: .venv/bin/python scripts/make_docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_and_variables_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    commands = set(re.findall(r"(?:\$|bin/| {4}|`)openbook ([a-z]+)\b", text))
    assert commands <= set(make_docs.COMMANDS)
    known = set(re.findall(r"OPENBOOK_[A-Z_]+", make_docs.settings_table()))
    assert set(re.findall(r"OPENBOOK_[A-Z_]+[A-Z]", text)) <= known
