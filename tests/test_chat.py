"""``openbook chat`` and ``ask --conversation`` over an engine of fakes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import api.asking
from command import Ran, in_process
from fake_engine import REPLY, fake_engine, ingested, opener
from fakes import FakeGenerator


def conversation(ran: Ran) -> str:
    """The id that the command tells."""
    found = re.search("[0-9a-f]{32}", ran.err)
    assert found
    return found.group()


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(REPLY)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    generator: FakeGenerator,
) -> Callable[..., Ran]:
    (tmp_path / "gauge.md").write_text("# Gauge\n\nThe battery of the gauge lasts 400 days.\n")
    with fake_engine(tmp_path / "data") as engine:
        ingested(engine, tmp_path / "gauge.md")
    monkeypatch.setattr(api.asking, "open_rag", opener(generator))

    return in_process(monkeypatch, capsys)


def test_each_question_has_what_was_said_before_it(run: Callable[..., Ran], generator: FakeGenerator) -> None:
    ran = run("chat", stdin=b"How long does the battery last?\n\n  \nWhy?\n")
    assert ran.code == 0
    assert ran.out.count(REPLY) == 2
    assert len(re.findall(r"^\[1\] .*gauge\.md, line 3", ran.out, re.MULTILINE)) == 2
    receipt = r"^read [\d,]+ tokens in 1 block; first token [\d.]+ m?s; \d+ out; "
    assert len(re.findall(receipt, ran.out, re.MULTILINE)) == 2
    assert "Searched for: How long does the battery last? 400 Why?" in ran.out
    assert [len(sent) for sent in generator.sent] == [2, 4]


def test_a_conversation_goes_on_from_command_to_command(
    run: Callable[..., Ran], generator: FakeGenerator
) -> None:
    first = run("ask", "How long does the battery last?", "--conversation", "new")
    assert (first.code, conversation(first) in first.out) == (0, False)
    assert run("ask", "Why?", "--conversation", conversation(first)).code == 0
    assert run("chat", "--conversation", conversation(first), stdin=b"And the gauge?\n").code == 0
    assert [len(sent) for sent in generator.sent] == [2, 4, 6]


def test_what_cannot_be_asked(run: Callable[..., Ran]) -> None:
    unknown = run("ask", "Why?", "--conversation", "nope")
    assert (unknown.code, unknown.out) == (2, "")
    assert "There is no conversation 'nope'" in unknown.err
    assert "--conversation new" in unknown.err
    assert run("chat", "--conversation", "nope", stdin=b"Why?\n").code == 2
    assert run("chat", "-c", "nope", stdin=b"Why?\n").code == 2
    garbled = run("chat", stdin=b"\xff\xfe?\n")
    assert (garbled.code, "not text" in garbled.err) == (2, True)
    assert run("chat").code == 0
