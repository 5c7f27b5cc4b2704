"""openbook verify: a citation that holds, and each way in which one can fail to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evals.citations import verify
from openbook.app import app
from rag import wire
from rag.types import Answer, Citation, Place, Receipt, Span

TEXT = "# Notes\n\nThe gates close in 22 minutes.\nThe siren sounds twice.\n"
QUOTE = "The gates close in 22 minutes."


@pytest.fixture
def answer(tmp_path: Path) -> Answer:
    path = tmp_path / "näme with space.md"
    path.write_text(TEXT)
    start = TEXT.index(QUOTE)
    citation = Citation(
        number=1,
        sentence=Span(0, 10),
        document_id="d",
        source=path.as_uri(),
        title="Notes",
        span=Span(start, start + len(QUOTE)),
        place=Place(3, 3),
        quote=QUOTE,
        section=("Notes",),
        grade="exact",
        origin="mark",
    )
    receipt = Receipt("default", 1, 1, 1, (), (), 10, 100, "m", None)
    return Answer("How long?", "22 minutes", True, None, (citation,), (), "stop", receipt)


def problems(answer: Answer, **changes: object) -> list[str]:
    cited = replace(answer.citations[0], **changes)  # type: ignore[arg-type]
    return [verdict.problem for verdict in verify(replace(answer, citations=(cited,)))]


def test_a_citation_that_holds(answer: Answer) -> None:
    assert problems(answer) == [""]


def test_words_that_the_source_does_not_have(answer: Answer) -> None:
    assert "it is not in the source" in problems(answer, quote="The gates close in 23 minutes.")[0]


def test_offsets_that_are_off_by_one(answer: Answer) -> None:
    span = answer.citations[0].span
    assert "stands elsewhere" in problems(answer, span=Span(span.start + 1, span.end + 1))[0]


def test_a_wrong_line(answer: Answer) -> None:
    assert problems(answer, place=Place(4, 4)) == ["it is at line 3, not at line 4"]


def test_a_source_that_is_gone(answer: Answer) -> None:
    assert "cannot be read again" in problems(answer, source="file:///nowhere/x.md")[0]


def test_the_command(answer: Answer, tmp_path: Path) -> None:
    good, bad, none = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "none.json"
    good.write_text(json.dumps(wire.dump(answer)))
    broken = replace(answer, citations=(replace(answer.citations[0], quote="nonsense"),))
    bad.write_text(json.dumps(wire.dump(broken)))
    none.write_text("{}")
    run = CliRunner().invoke
    assert run(app, ["verify", str(good)]).exit_code == 0
    assert "1 citations, 1 hold" in run(app, ["verify", str(good)]).output
    assert run(app, ["verify", str(bad)]).exit_code == 1
    assert json.loads(run(app, ["verify", str(bad), "--json"]).output)[0]["problem"]
    assert run(app, ["verify", str(none)]).exception is not None
