"""An answer as claims: its sentences without marks, with the numbers of the blocks that they cite. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from rag.contradiction import asks, is_passive
from rag.prompt import marks
from rag.terms import Term, terms
from rag.text import sentences
from rag.types import Span

# What stands before a sentence without belonging to it: bullets, emphasis, a list number, yes or no.
_LEAD = re.compile(
    r"""(?:[^\w\s]\s+|[\s*_#>("'“`])*(?:\d{1,3}[.)]\s+)?[*_]*(?:(?:yes|no)\b[*_]*[,.:;!–—-]+[*_]*\s+)?""",
    re.I,
)

_WORD_BEFORE = re.compile(r"[^\s\[\]]+ ?\Z")
_WORD_AFTER = re.compile(r" ?[^\s\[\]]+")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the answer as what must be found. ``required`` are its numbers, what they count, and its names;
    ``cited`` the numbers of its blocks."""

    span: Span
    cited: tuple[int, ...]
    terms: tuple[Term, ...]
    content: frozenset[str]
    required: frozenset[str]
    asks: bool
    is_passive: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Claims of the same key have the same support."""
        return self.cited, self.terms, self.required, self.asks, self.is_passive


def claims(reply: str, common: AbstractSet[str], code: Sequence[str] = ()) -> Iterator[Claim]:
    """The reply's sentences; those that say nothing are left out. ``common`` are the stems that the sources write
    small somewhere: they are names only within a sentence. ``code`` are texts that the model read with their square
    brackets: what stands so in one of them is no mark."""
    found = [each for each in marks(reply) if not _is_quoted(reply, each[0], each[1], code)]
    bare = _blanked(reply, found)
    spans = sentences(bare)
    for span, cited in zip(spans, _cited(reply, spans, found), strict=True):
        lead = _LEAD.match(bare, span.start, span.end)
        text = bare[lead.end() if lead else span.start : span.end]
        if said := tuple(terms(text)):
            content = frozenset(term.stem for term in said)
            required = frozenset(_required(said, common))
            yield Claim(span, tuple(cited), said, content, required, asks(text), is_passive(text))


def _is_quoted(reply: str, start: int, end: int, code: Sequence[str]) -> bool:
    """Whether a mark is word for word in a text, with the word before it, or after it where none is before."""
    before = _WORD_BEFORE.search(reply, max(0, start - 60), start)
    after = _WORD_AFTER.match(reply, end)
    quoted = reply[before.start() if before else start : end if before or not after else after.end()]
    return any(quoted in text for text in code)


def _blanked(reply: str, found: Sequence[tuple[int, int, list[int]]]) -> str:
    """The reply with spaces in place of the marks, so that offsets stay."""
    parts, at = [], 0
    for start, end, _ in found:
        parts += [reply[at:start], " " * (end - start)]
        at = end
    return "".join([*parts, reply[at:]])


def _cited(reply: str, spans: Sequence[Span], found: Sequence[tuple[int, int, list[int]]]) -> list[list[int]]:
    """Block numbers of each sentence. A mark in or after a sentence belongs to it, unless a line break lies
    between them and the next sentence is on the mark's line."""
    cited: list[list[int]] = [[] for _ in spans]
    starts = [span.start for span in spans]
    for start, end, group in found if spans else ():
        after = bisect_right(starts, start)
        before = after - 1
        follows = after < len(spans) and "\n" not in reply[end : starts[after]]
        broken = before < 0 or "\n" in reply[spans[before].end : start]
        cited[after if broken and follows else max(before, 0)] += group
    return cited


def _required(said: Sequence[Term], common: AbstractSet[str]) -> Iterator[str]:
    """Numbers with what they count, identifiers, and words with a capital that is not just the sentence's first
    letter. The first word counts as a name where the sources never write it small."""
    for at, term in enumerate(said):
        word = term.word
        is_identifier = any(c.isdigit() or c == "_" or c.isupper() for c in word[1:])
        is_name = word[0].isupper() and (at > 0 or term.stem not in common)
        if term.is_number or term.measures or is_identifier or is_name:
            yield term.stem
