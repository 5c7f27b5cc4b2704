"""A prompt as token ids: the model's own chat template around pieces that are encoded one by one. Pure.

The same text has the same ids wherever it stands, so that a prefix cache, which compares ids, finds it; and no text of
a document can be a token of the template.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Ids = Sequence[int]
Encode = Callable[[Sequence[str]], Sequence[Ids] | None]

SYSTEM, ASKED = "Apples are red.", "Why do ships float?"
SAID, FURTHER = "Stones are heavy.", "Where is the sea?"


@dataclass(frozen=True, slots=True)
class Encoded:
    """``ends``: how many ids there are up to the end of each piece of the messages, in their order."""

    ids: array[int]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """What stands before the system message, between it and the first question, between a question and its answer,
    between an answer and the next question, and after the last question."""

    begin: tuple[int, ...]
    first: tuple[int, ...]
    answer: tuple[int, ...]
    further: tuple[int, ...]
    end: tuple[int, ...]

    def encode(self, messages: Sequence[Sequence[str]], encode: Encode) -> Encoded | None:
        """Of the pieces of a system message, then of questions and answers in turn, the last a question; None where
        ids of the text are not known."""
        encoded = encode([piece for pieces in messages for piece in pieces])
        if encoded is None:
            return None
        ids = array("I", self.begin)
        ends: list[int] = []
        rest = iter(encoded)
        for at, pieces in enumerate(messages):
            if at:
                ids.extend(self.first if at == 1 else self.further if at % 2 else self.answer)
            for _ in pieces:
                ids.extend(next(rest))
                ends.append(len(ids))
        ids.extend(self.end)
        return Encoded(ids, tuple(ends))


def template(short: Ids, long: Ids, encode: Encode) -> Template | None:
    """From what the server makes of (SYSTEM, ASKED) and of (SYSTEM, ASKED, SAID, FURTHER); None where it encodes text
    otherwise than ``encode``, or not each message for itself."""
    texts = encode([SYSTEM, ASKED, SAID, FURTHER])
    if texts is None:
        return None
    parts, alone = _between(long, texts), _between(short, texts[:2])
    if not parts or not alone or parts[:2] != alone[:2] or parts[-1] != alone[-1]:
        return None
    return Template(*parts)


def _between(ids: Ids, texts: Sequence[Ids]) -> list[tuple[int, ...]] | None:
    parts, at = [], 0
    for text in texts:
        found = find(ids, text, at)
        if found is None:
            return None
        parts.append(tuple(ids[at:found]))
        at = found + len(text)
    return [*parts, tuple(ids[at:])]


def find(ids: Ids, part: Ids, start: int = 0) -> int | None:
    width, part = len(part), list(part)
    return next((at for at in range(start, len(ids) - width + 1) if list(ids[at : at + width]) == part), None)
