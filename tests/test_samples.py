"""The samples as a user's first corpus: every file is read, tiled without loss, and says what is asked of it."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.passages import passages
from ingest.sources import Source, find
from rag.types import Passage

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "samples"
QUESTIONS: list[dict[str, Any]] = json.loads((ROOT / "tests" / "sample_questions.json").read_text())

FOUND = find([SAMPLES])
LIGHT = (".pdf", ".md", ".py", ".csv")
ALL = [
    pytest.param(source, id=source.name, marks=[] if source.path.suffix in LIGHT else [pytest.mark.models])
    for source in FOUND.sources
]
EVIDENCE = [
    pytest.param(
        entry,
        id=f"{number}-{entry['file']}",
        marks=[] if Path(entry["file"]).suffix in LIGHT else [pytest.mark.models],
    )
    for number, question in enumerate(QUESTIONS)
    for entry in question["sources"]
]


@cache
def read(source: Source) -> tuple[Parsed, list[Passage]]:
    parsed = parse(source.path.read_bytes(), source.name, source.media_type)
    return parsed, passages(parsed, "d", "r", lambda texts: [len(text.split()) for text in texts], 904)


def test_no_sample_is_left_out() -> None:
    assert [skipped for skipped in FOUND.skipped if "__pycache__" not in skipped.name] == []
    assert len({source.path.suffix for source in FOUND.sources}) == 8


@pytest.mark.parametrize("source", ALL)
def test_passages_are_the_text(source: Source) -> None:
    parsed, made = read(source)
    assert "".join(passage.text for passage in made) == parsed.text
    assert all(passage.text.strip() and len(passage.text) <= 904 for passage in made)
    assert parsed.title


@pytest.mark.parametrize(
    "source", [each for each in ALL if Path(str(each.id)).suffix in (".md", ".py", ".csv")]
)
def test_lines_and_offsets_are_those_of_the_file(source: Source) -> None:
    content = source.path.read_text(encoding="utf-8")
    lines = content.splitlines(keepends=True)
    for passage in read(source)[1]:
        assert content[passage.start : passage.end] == passage.text
        assert "".join(lines[passage.line - 1 :]).startswith(passage.text)


@pytest.mark.parametrize("entry", EVIDENCE)
def test_the_evidence_for_each_question_is_one_passage_at_its_place(entry: dict[str, Any]) -> None:
    source = next(each for each in FOUND.sources if each.name == f"samples/{entry['file']}")
    holding = [passage for passage in read(source)[1] if entry["quote"] in passage.text]
    assert len(holding) == 1
    passage = holding[0]
    assert (passage.page, passage.sheet) == (entry.get("page"), entry.get("sheet"))
    if "line" in entry:
        assert passage.line + passage.text[: passage.text.index(entry["quote"])].count("\n") == entry["line"]


def test_the_sample_package_works() -> None:
    command = [sys.executable, "-m", "tidestats", "records/skerrow-2026-05-03.csv", "--offset", "1.274"]
    environment = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONSAFEPATH": "",
        "PYTHONPATH": str(SAMPLES),
    }
    done = subprocess.run(command, cwd=SAMPLES, env=environment, capture_output=True, text=True, check=True)
    assert "highest 3.94 m at 03:00 UTC" in done.stdout
    assert "state reached: alarm" in done.stdout


def test_the_manual_says_what_its_script_says() -> None:
    pytest.importorskip("reportlab", reason="only who changes the samples needs it")
    script = runpy.run_path(str(ROOT / "scripts" / "make_samples.py"))
    made = parse(script["manual"](), "samples/heron-h2-manual.pdf", "application/pdf")
    source = next(each for each in FOUND.sources if each.path.suffix == ".pdf")
    assert made == read(source)[0]
