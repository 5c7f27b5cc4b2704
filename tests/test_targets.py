"""A target for the first token on the command line, and what a printed receipt says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import api.asking
import api.target_cli
from api.printing import print_answer, print_line
from command import Ran, in_process
from fake_engine import REPLY, fake_engine, ingested, opener
from fakes import FakeGenerator
from rag.collection_settings import MOST_TARGET_MS
from rag.types import Answer, Drop, Receipt, Usage

pytestmark = pytest.mark.process  # of which they start none; but a data folder for each takes seconds

ASKED = "How long does the battery last?"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "gauge.md"
    path.write_text("# Gauge\n\nThe battery of the gauge lasts 400 days.\n")
    return path


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, page: Path
) -> Callable[..., Ran]:
    with fake_engine(tmp_path / "data") as engine:
        ingested(engine, page)
    for module in (api.asking, api.target_cli):
        monkeypatch.setattr(module, "open_rag", opener(FakeGenerator(REPLY)))
    return in_process(monkeypatch, capsys)


def test_a_collection_keeps_its_target(run: Callable[..., Ran]) -> None:
    assert run("target", "default").out == "default: no target\n"
    assert run("target", "default", "2000").out == "default: 2,000 ms to the first token\n"
    assert run("target", "default", "--json").json == {"collection": "default", "target_ttft_ms": 2000}
    assert run("ask", ASKED, "--json").json["receipt"]["target_s"] == 2.0
    asked = run("ask", ASKED, "--target-ms", "500", "--json").json
    assert asked["receipt"]["target_s"] == 0.5
    assert "speed is not known" in run("chat", "--target-ms", "500", stdin=b"How long?\n").out
    assert run("target", "default", "--none").out == "default: no target\n"
    assert run("ask", ASKED, "--json").json["receipt"]["target_s"] is None


@pytest.mark.parametrize("bad", ["0", "soon", "1.5", str(MOST_TARGET_MS + 1)])
def test_what_is_no_target_is_refused(run: Callable[..., Ran], bad: str) -> None:
    for command in (
        ("ask", "Why?", "--target-ms", bad),
        ("chat", "--target-ms", bad),
        ("target", "default", bad),
    ):
        ran = run(*command)
        assert (ran.code, ran.out) == (2, "")
        assert "Invalid value for" in ran.err


def test_what_is_not_there_has_no_target(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("target", "nope", "2000")
    assert (ran.code, "no collection 'nope'" in ran.err) == (2, True)
    both = run("target", "default", "2000", "--none")
    assert (both.code, "Both a target and --none" in both.err) == (2, True)
    monkeypatch.setenv("OPENBOOK_TARGET_TTFT_MS", "-1")
    ran = run("ask", "Why?")
    assert (ran.code, "OPENBOOK_TARGET_TTFT_MS" in ran.err) == (2, True)


# --- the receipt ----------------------------------------------------------------------------------------------


RECEIPT = Receipt(
    "c", 1, 9, 9, (), (), 2000, 3000, "m", Usage(2310, 16, 1536), {"first_token": 1.914, "total": 3.3},
    predicted_cached=1536, predicted_s=2.04, target_s=2.0,
)  # fmt: skip
LINE = "1.9 s (predicted 2.0 s, target 2.0 s) · 1,536 of 2,310 tokens from cache (predicted 1,536)"
SAYS = [
    (RECEIPT, LINE),
    (
        replace(RECEIPT, target_s=None, predicted_cached=None),
        "1.9 s (predicted 2.0 s) · 1,536 of 2,310 tokens from cache",
    ),
    (replace(RECEIPT, predicted_s=None), LINE.replace("predicted 2.0 s, ", "")),
    (replace(RECEIPT, predicted_s=None, target_s=None, usage=Usage(2310, 16)), "1.9 s"),
    (
        replace(RECEIPT, target_s=0.05, seconds={"first_token": 0.0634, "total": 1.0}),
        LINE.replace("1.9 s", "63 ms").replace("target 2.0 s", "target 50 ms"),
    ),
    (replace(RECEIPT, usage=None, seconds={"total": 0.1}), ""),
]


@pytest.mark.parametrize(("receipt", "says"), SAYS)
def test_the_receipt_says_what_is_known_and_nothing_else(
    capsys: pytest.CaptureFixture[str], receipt: Receipt, says: str
) -> None:
    print_answer(Answer("?", "!", True, None, (), (), None, receipt))
    print_line(receipt)
    shown = capsys.readouterr().out
    assert re.findall(r"^first token  (.*)$", shown, re.MULTILINE) == ([says] if says else [])
    assert re.findall(r"; first token (.*?); 16 out; ", shown) == ([says] if says else [])
    assert "None" not in shown


def test_why_most_was_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    late = Drop("d", "t", (1, 2), 300, "not affordable within 2.0 s to the first token")
    same = Drop("d", "t", (4,), 100, "says the same as a.md, line 1")
    for drops, says in (
        ((late,), "2 passages, 300 tokens, not affordable within 2.0 s to the first token"),
        ((same, late), "3 passages, 400 tokens, mostly not affordable within 2.0 s to the first token"),
    ):
        print_answer(Answer("?", "!", True, None, (), (), None, replace(RECEIPT, dropped=drops)))
        assert f"not read     {says}\n" in capsys.readouterr().out
