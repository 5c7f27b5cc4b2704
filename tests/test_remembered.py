from __future__ import annotations

from collections.abc import Sequence

from fakes import CachingGenerator
from rag.remembered import Remembered
from rag.residency import Residency


class Counting:
    """A token for each letter; keeps what it was asked for."""

    name, exact, knows_ids = "counting", True, True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> list[list[int]] | None:
        self.asked.extend(texts)
        return [[ord(letter) for letter in text] for text in texts] if self.knows_ids else None

    def keep(self, texts: Sequence[str]) -> None:
        self.asked.append("keep")

    def forget(self) -> None:
        self.asked.append("forget")

    def count(self, texts: Sequence[str]) -> list[int]:
        return [7 for _ in texts]


def test_texts_are_encoded_once_as_long_as_there_is_room() -> None:
    tokens = Counting()
    remembered = Remembered(tokens, most=10)

    def ids_of(texts: list[str]) -> list[list[int]]:
        return [list(ids) for ids in remembered.encode(texts) or ()]

    assert ids_of(["ab", "cd", "ab"]) == [[97, 98], [99, 100], [97, 98]]
    assert remembered.count(["cd", "efgh"]) == [2, 4]
    assert tokens.asked == ["ab", "cd", "efgh"]
    remembered.count(["ijkl"])  # "ab", not asked for since, makes room
    remembered.count(["cd", "efgh", "ijkl"])
    assert tokens.asked == ["ab", "cd", "efgh", "ijkl"]
    assert remembered.count(["ab"]) == [2]
    assert tokens.asked[-1] == "ab"


def test_without_ids_the_counter_counts() -> None:
    tokens = Counting()
    tokens.knows_ids = False
    assert Remembered(tokens).encode(["a"]) is None
    assert Remembered(tokens).count(["a", "b"]) == [7, 7]
    assert (Remembered(tokens).name, Remembered(tokens).exact) == (tokens.name, tokens.exact)


def test_tokens_of_one_model_are_not_taken_for_another_s() -> None:
    tokens = Counting()
    remembered = Remembered(tokens)
    residency = Residency(remembered)
    residency.meet(CachingGenerator("").info)
    remembered.count(["a"])
    residency.meet(CachingGenerator("").info)
    remembered.count(["a"])
    assert tokens.asked == ["forget", "a"]
    residency.meet(CachingGenerator("", block_size=8).info)
    remembered.count(["a"])
    assert tokens.asked == ["forget", "a", "forget", "a"]


def test_what_was_asked_before_the_model_changed_is_not_kept() -> None:
    class Slow(Counting):
        def encode(self, texts: Sequence[str]) -> list[list[int]] | None:
            ids = super().encode(texts)
            if len(self.asked) == 1:
                remembered.forget()
            return ids

    tokens = Slow()
    remembered = Remembered(tokens)
    assert remembered.count(["a"]) == [1]
    remembered.count(["a"])
    assert tokens.asked == ["a", "forget", "a"]
