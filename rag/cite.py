"""From an answer and the blocks that were read to citations that can be checked. Pure.

A sentence of the answer is compared with every window of one to three sentences of a block: the share of its
content words that the window holds, and whether all its numbers and names occur there. ``exact`` needs both,
``partial`` a good share of the words; anything less is ``unsupported``. A model's mark ``[n]`` confines the
search to block n; a sentence without a mark that holds is searched for in all blocks, and says so (``origin``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.prompt import marks
from rag.text import sentences, words
from rag.types import Block, Citation, Grade, Origin, Place, Span

WINDOW = 3  # sentences; more would quote a paragraph where a reader wants the line
EXACT, PARTIAL = 0.6, 0.4  # shares of a sentence's content words

# Function words say nothing about support. English; words of other languages all count, which errs strict.
_STOP = frozenset(
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its may "
    "might more most must no not of on or our shall should so than that the their them then there these they this "
    "those to up was we were what when where which while who will with would you your according document "
    "documents says states stated".split()
)
_NAME = re.compile(r"\b(?:[A-Z][\w-]*[A-Z0-9][\w-]*|[A-Z][\w-]+)\b")


@dataclass(frozen=True, slots=True)
class _Claim:
    """A sentence of the answer, without marks, as what must be found."""

    span: Span
    content: frozenset[str]
    required: frozenset[str]  # numbers and names


@dataclass(frozen=True, slots=True)
class _Window:
    block: Block
    span: Span  # in the block's text
    words: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Support:
    window: _Window
    share: float
    complete: bool

    @property
    def grade(self) -> Grade:
        if self.share >= EXACT and self.complete:
            return "exact"
        return "partial" if self.share >= PARTIAL else "unsupported"

    @property
    def rank(self) -> tuple[bool, float, int, int, int]:
        """Better is greater: complete, more words, fewer words around them, then the earlier place."""
        window = self.window
        return self.complete, self.share, -len(window.words), -window.block.number, -window.span.start


def resolve(reply: str, blocks: Sequence[Block]) -> tuple[tuple[Citation, ...], tuple[Span, ...]]:
    """Citations in the order of the reply, and its sentences without support. A mark of a block that was
    never sent counts as no mark."""
    windows = {block.number: list(_windows(block)) for block in blocks}
    everything = [window for of_block in windows.values() for window in of_block]
    citations: list[Citation] = []
    unsupported: list[Span] = []
    for claim, numbers in _claims(reply):
        known = [number for number in dict.fromkeys(numbers) if windows.get(number)]
        marked = [_best(claim, windows[number]) for number in known]
        citations += [_citation(claim, support, "mark") for support in marked]
        if any(support.grade != "unsupported" for support in marked):
            continue
        found = _best(claim, everything) if everything else None
        if found and found.grade != "unsupported":
            citations.append(_citation(claim, found, "support"))
        else:
            unsupported.append(claim.span)
    return tuple(citations), tuple(unsupported)


def _claims(reply: str) -> Iterator[tuple[_Claim, list[int]]]:
    """The reply's sentences with the numbers of the marks in or right after them."""
    bare, found = reply, list(marks(reply))
    for start, end, _ in found:
        bare = bare[:start] + " " * (end - start) + bare[end:]
    spans = sentences(bare)
    for at, span in enumerate(spans):
        following = spans[at + 1].start if at + 1 < len(spans) else len(reply) + 1
        first = 0 if at == 0 else span.start
        numbers = [number for start, _, group in found if first <= start < following for number in group]
        text = bare[span.start : span.end]
        content = frozenset(_stem(word) for word in words(text) if word not in _STOP)
        if content:
            yield _Claim(span, content, frozenset(_required(text))), numbers


def _required(sentence: str) -> Iterator[str]:
    """Numbers, and words with a capital that is not just the sentence's first letter."""
    yield from (_stem(word) for word in words(sentence) if word[0].isdigit())
    for match in _NAME.finditer(sentence):
        name = match.group()
        if match.start() > 0 or any(c.isupper() or c.isdigit() for c in name[1:]):
            yield from (_stem(word) for word in words(name) if word not in _STOP)


def _windows(block: Block) -> Iterator[_Window]:
    text = block.text
    spans = sentences(text)
    bags = [frozenset(map(_stem, words(text[span.start : span.end]))) for span in spans]
    for first in range(len(spans)):
        for last in range(first, min(first + WINDOW, len(spans))):
            yield _Window(
                block, Span(spans[first].start, spans[last].end), frozenset().union(*bags[first : last + 1])
            )


def _best(claim: _Claim, windows: Sequence[_Window]) -> _Support:
    return max((_support(claim, window) for window in windows), key=lambda support: support.rank)


def _support(claim: _Claim, window: _Window) -> _Support:
    share = len(claim.content & window.words) / len(claim.content)
    return _Support(window, share, claim.required <= window.words)


def _stem(word: str) -> str:
    """Enough to let ``days`` meet ``day`` and ``1,000`` meet ``1000``; a real stemmer would merge too much."""
    if word[0].isdigit():
        return re.sub(r"(?<=\d),(?=\d{3})", "", word)
    for ending in ("'s", "’s", "ies", "es", "s", "ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word.removesuffix("e") if len(word) > 4 else word


def _citation(claim: _Claim, support: _Support, origin: Origin) -> Citation:
    window = support.window
    block, document = window.block, window.block.document
    base = block.span.start
    span = Span(base + window.span.start, base + window.span.end)
    first = next(p for p in block.passages if p.start <= span.start < p.end)
    last = next(p for p in block.passages if p.start < span.end <= p.end)
    begins = first.place(Span(span.start, min(span.end, first.end)))
    ends = last.place(Span(max(span.start, last.start), span.end))
    return Citation(
        number=block.number,
        sentence=claim.span,
        document_id=document.id,
        source=document.source,
        title=document.title,
        span=span,
        place=Place(begins.line_start, ends.line_end, first.page, first.sheet),
        quote=block.text[window.span.start : window.span.end],
        section=first.section,
        grade=support.grade,
        origin=origin,
    )
