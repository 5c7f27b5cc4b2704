from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes import FakeCounter, document, passages
from rag import prompt
from rag.models.token_cache import SHORT, KeptTokens
from rag.types import Block

LONG = "The gauge is read at noon and at midnight, and what it says is written into the harbour book. " * 2
OTHER = f"{LONG}Twice."


class Asked(FakeCounter):
    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        self.texts.extend(texts)
        return super().encode(texts)


class Opened:
    """Over one file, as processes one after the other."""

    def __init__(self, path: Path) -> None:
        self.path, self.open = path, list[KeptTokens]()

    def __call__(self, name: str = "one") -> tuple[KeptTokens, Asked]:
        inner = Asked(name)
        self.open.append(KeptTokens(inner, self.path))
        return self.open[-1], inner


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    made = Opened(tmp_path / "cache" / "tokens.sqlite3")
    yield made
    for each in made.open:
        each.close()


def ids(tokens: KeptTokens, texts: Sequence[str]) -> list[list[int]]:
    return [list(each) for each in tokens.encode(texts) or ()]


def test_what_was_kept_is_not_tokenized_by_another_process(opened: Opened) -> None:
    first, inner = opened()
    first.keep([LONG, OTHER, "short"])
    first.keep([LONG])
    assert inner.texts == [LONG, OTHER]
    later, inner = opened()
    assert ids(later, [OTHER, "short", LONG, OTHER]) == FakeCounter().encode([OTHER, "short", LONG, OTHER])
    assert inner.texts == ["short"]


def test_what_is_only_asked_for_is_not_kept(opened: Opened) -> None:
    tokens, inner = opened()
    assert ids(tokens, [LONG]) == ids(tokens, [LONG])
    assert inner.texts == [LONG, LONG]
    assert len(LONG) > SHORT


def test_ids_of_one_model_are_not_taken_for_another_s(opened: Opened) -> None:
    opened()[0].keep([LONG])
    other, inner = opened("two")
    ids(other, [LONG])
    assert inner.texts == [LONG]


def test_without_a_disk_texts_are_tokenized(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tokens = KeptTokens(FakeCounter(), tmp_path / "file" / "tokens.sqlite3")
    tokens.keep([LONG])
    assert ids(tokens, [LONG]) == FakeCounter().encode([LONG])


@pytest.mark.parametrize("between", [" ", "\n", "\n\n", "", " \t"])
def test_what_a_block_says_was_kept_wherever_it_begins_and_ends(between: str) -> None:
    doc = document("file:///a.md")
    made = passages(doc, *(f"{LONG}{number}.{between}" for number in range(5)))
    kept = set(prompt.passage_pieces(made))
    for first in range(5):
        for last in range(first, 5):
            block = Block(1, doc, tuple(made[first : last + 1]))
            _, *said, _ = cut = prompt.pieces(block)
            assert set(said) <= kept
            assert len(cut) == prompt.pieces_in(block)
            head, text, tail = prompt.heading(block), block.text.strip("\n"), "</document>\n\n"
            assert "".join(cut) == f"{head}\n{text}\n{tail}"
            assert not any(each.endswith((" ", "\t")) for each in said), "a blank goes with what follows"
