"""From an answer and the blocks that were read to citations that can be checked. Pure.

A sentence of the answer is compared with every window of one to three sentences of a block: the share of its
content words that the window holds, and whether all its names and numbers (with what they count) occur there,
denied in both or in neither. ``exact`` needs both, ``partial`` a good share of the words; anything less is
``unsupported``. A model's mark ``[n]`` confines the search to block n; a sentence without a mark that holds is
searched for in all blocks, and says so (``origin``). Words are compared, not meanings: who did what to whom is
not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

from rag.prompt import marks
from rag.text import cased_words, sentences
from rag.types import Block, Citation, Grade, Origin, Place, Span

WINDOW = 3  # sentences; more would quote a paragraph where a reader wants the line
LONGEST = 600  # characters; a longer "sentence" (minified code, data in one line) is quoted in pieces
EXACT, PARTIAL = 0.6, 0.4  # shares of a sentence's content words

_ORDER: tuple[Grade, ...] = ("unsupported", "partial", "exact")
# Function words say nothing about support. English; words of other languages all count, which errs strict.
_STOP = frozenset(
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it it's its "
    "may might more most must no not of on or our shall should so than that the their them then there these they "
    "this those to up was we were what when where which while who will with would yes you your according document "
    "documents says states stated never cannot can't couldn't didn't don't doesn't hasn't haven't isn't aren't "
    "wasn't weren't won't wouldn't shouldn't mustn't".split()
)
# "No. 5" and "not only" deny nothing.
_DENIAL = re.compile(
    r"\b(?:not(?! only\b)|no(?!\.?\s*\d)|never|none|neither|nor|without|cannot)\b|n['’]t\b", re.I
)
# What stands before a sentence without belonging to it: bullets, emphasis, a list number, yes or no.
_LEAD = re.compile(
    r"""(?:[^\w\s]\s+|[\s*_#>("'“`])*(?:\d{1,3}[.)]\s+)?[*_]*(?:(?:yes|no)\b[*_]*[,.:;!–—-]+[*_]*\s+)?""",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A sentence of the answer, without marks, as what must be found; ``required`` are its numbers and names."""

    span: Span
    numbers: tuple[int, ...]  # of the blocks that it cites
    content: frozenset[str]
    required: frozenset[str]
    denies: bool

    @property
    def key(self) -> tuple[object, ...]:
        """Claims of the same key have the same support."""
        return self.numbers, self.content, self.required, self.denies


class _Source:
    """A block as sentences, each a bag of stems, and the sentences that hold each stem."""

    def __init__(self, block: Block) -> None:
        self.block, self.text = block, block.text
        self.spans = list(_pieces(self.text))
        self.sizes: list[int] = []
        self.denies: list[bool] = []
        self.holding: dict[str, list[int]] = {}
        self.common: set[str] = set()  # stems that are written small somewhere: not only names
        for at, span in enumerate(self.spans):
            found = cased_words(self.text[span.start : span.end])
            bag = {_stem(word.lower()) for word in found}
            for stem in bag:
                self.holding.setdefault(stem, []).append(at)
            self.common.update(_stem(word) for word in found if word.islower())
            self.sizes.append(len(bag))
            self.denies.append(_DENIAL.search(self.text, span.start, span.end) is not None)


@dataclass(frozen=True, slots=True)
class _Support:
    """The sentences ``first`` to ``last`` of a source, and how well they support a claim."""

    source: _Source
    first: int
    last: int
    share: float = 0.0
    complete: bool = False

    @property
    def grade(self) -> Grade:
        if self.share >= EXACT and self.complete:
            return "exact"
        return "partial" if self.share >= PARTIAL else "unsupported"

    @property
    def rank(self) -> tuple[int, float, bool, int, int, int]:
        """Better is greater: the grade, more words, complete, fewer words around them, then the earlier place."""
        around = sum(self.source.sizes[self.first : self.last + 1])
        return (
            _ORDER.index(self.grade),
            self.share,
            self.complete,
            -around,
            -self.source.block.number,
            -self.first,
        )

    def can_be_beaten(self, share: float) -> bool:
        """Whether it matters if there is a window of that share: it may be as good, or raise the grade."""
        return share >= max(self.share, PARTIAL) or (share >= EXACT and self.grade != "exact")

    @property
    def span(self) -> Span:
        """In the block's text."""
        return Span(self.source.spans[self.first].start, self.source.spans[self.last].end)


def resolve(reply: str, blocks: Sequence[Block]) -> tuple[tuple[Citation, ...], tuple[Span, ...]]:
    """Citations in the order of the reply, and its sentences without support. A mark of a block that was
    never sent counts as no mark."""
    sources = {block.number: source for block in blocks if (source := _Source(block)).spans}
    common = frozenset().union(*(source.common for source in sources.values()))
    citations: list[Citation] = []
    unsupported: list[Span] = []
    known: dict[tuple[object, ...], list[tuple[_Support, Origin]]] = {}
    for claim in _claims(reply, common):
        if claim.key not in known:
            known[claim.key] = _supports(claim, sources)
        citations += [_citation(claim, support, origin) for support, origin in known[claim.key]]
        if all(support.grade == "unsupported" for support, _ in known[claim.key]):
            unsupported.append(claim.span)
    return tuple(citations), tuple(unsupported)


def _supports(claim: _Claim, sources: dict[int, _Source]) -> list[tuple[_Support, Origin]]:
    """The best of each block that is cited; where none of them holds, the best of all if that does."""
    cited = [sources[number] for number in dict.fromkeys(claim.numbers) if number in sources]
    marked: list[tuple[_Support, Origin]] = [
        (_best(claim, source) or _Support(source, 0, 0), "mark") for source in cited
    ]
    if any(support.grade != "unsupported" for support, _ in marked):
        return marked
    found = [support for source in sources.values() if (support := _best(claim, source))]
    best = max(found, key=lambda support: support.rank, default=None)
    return [*marked, (best, "support")] if best and best.grade != "unsupported" else marked


def _best(claim: _Claim, source: _Source) -> _Support | None:
    """The window of the source that supports the claim best; None where none of its words occurs."""
    shared: dict[int, set[str]] = {}
    for stem in claim.content:
        for at in source.holding.get(stem, ()):
            shared.setdefault(at, set()).add(stem)
    if not shared:
        return None
    # Most promising first, since few windows beat a good one. A window that begins or ends with a sentence that
    # shares nothing is no better than the one without it.
    order = sorted(shared, key=lambda at: (-len(shared[at]), at))
    best = _support(claim, source, shared, order[0], order[0])
    for first in order:
        words: set[str] = set()
        for last in range(first, first + WINDOW):
            if last in shared:
                words = words | shared[last]
                if best.can_be_beaten(len(words) / len(claim.content)):
                    best = max(best, _support(claim, source, shared, first, last), key=lambda each: each.rank)
    return best


def _support(claim: _Claim, source: _Source, shared: dict[int, set[str]], first: int, last: int) -> _Support:
    inside = [at for at in range(first, last + 1) if at in shared]
    words = set().union(*(shared[at] for at in inside))
    # A number alone in a sentence about something else is another number; alone in a heading or cell it is not.
    about = [at for at in inside if len(shared[at]) >= min(2, source.sizes[at] / 2)]
    # What is denied next to it is another matter: the sentences that share most say whether it is.
    most = max(len(shared[at]) for at in inside)
    denies = any(source.denies[at] for at in inside if len(shared[at]) == most)
    complete = denies == claim.denies and claim.required <= set().union(*(shared[at] for at in about))
    return _Support(source, first, last, len(words) / len(claim.content), complete)


def _pieces(text: str) -> Iterator[Span]:
    for span in sentences(text):
        start = span.start
        while span.end - start > LONGEST:
            cut = text.rfind(" ", start + 1, start + LONGEST)
            end = cut if cut > start else start + LONGEST
            yield Span(start, end)
            start = end + (cut > start)
        yield Span(start, span.end)


def _claims(reply: str, common: AbstractSet[str]) -> Iterator[_Claim]:
    """The reply's sentences; those that say nothing are left out."""
    found = list(marks(reply))
    bare = _blanked(reply, found)
    spans = sentences(bare)
    numbers = _numbers(reply, spans, found)
    for at, span in enumerate(spans):
        lead = _LEAD.match(bare, span.start, span.end)
        text = bare[lead.end() if lead else span.start : span.end]
        cased = cased_words(text)
        content = frozenset(_stem(word.lower()) for word in cased if word.lower() not in _STOP)
        if content:
            required = frozenset(_required(cased, common))
            yield _Claim(span, tuple(numbers[at]), content, required, _DENIAL.search(text) is not None)


def _blanked(reply: str, found: Sequence[tuple[int, int, list[int]]]) -> str:
    """The reply with spaces in place of the marks, so that offsets stay."""
    parts, at = [], 0
    for start, end, _ in found:
        parts += [reply[at:start], " " * (end - start)]
        at = end
    return "".join([*parts, reply[at:]])


def _numbers(
    reply: str, spans: Sequence[Span], found: Sequence[tuple[int, int, list[int]]]
) -> list[list[int]]:
    """Block numbers of each sentence. A mark in or after a sentence belongs to it, unless a line break lies
    between them and the next sentence is on the mark's line."""
    numbers: list[list[int]] = [[] for _ in spans]
    for start, end, group in found:
        before = max((at for at, span in enumerate(spans) if span.start <= start), default=None)
        after = 0 if before is None else before + 1
        follows = after < len(spans) and "\n" not in reply[end : spans[after].start]
        broken = before is None or "\n" in reply[spans[before].end : start]
        if broken and follows:
            numbers[after] += group
        elif before is not None:
            numbers[before] += group
        elif spans:
            numbers[0] += group
    return numbers


def _required(cased: Sequence[str], common: AbstractSet[str]) -> Iterator[str]:
    """Numbers with what they count, identifiers, and words with a capital that is not just the sentence's first
    letter. The first word counts as a name where the sources never write it small."""
    for at, word in enumerate(cased):
        stem = _stem(word.lower())
        if word.lower() in _STOP:
            continue
        measures = at > 0 and cased[at - 1][0].isdigit()  # "15 years" is not supported by "15 days"
        is_identifier = any(c.isdigit() or c == "_" or c.isupper() for c in word[1:]) or not word[0].isalpha()
        if measures or is_identifier or (word[0].isupper() and (at > 0 or stem not in common)):
            yield stem


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    """Enough to let ``days`` meet ``day`` and ``1,000`` meet ``1000``; a real stemmer would merge too much."""
    if not word[0].isalpha():
        return re.sub(r"(?<=\d),(?=\d{3})", "", word)
    for ending in ("'s", "ies", "es", "s", "ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word.removesuffix("e") if len(word) > 4 else word


def _citation(claim: _Claim, support: _Support, origin: Origin) -> Citation:
    block, document = support.source.block, support.source.block.document
    base = block.span.start
    span = Span(base + support.span.start, base + support.span.end)
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
        quote=support.source.text[support.span.start : support.span.end],
        section=first.section,
        grade=support.grade,
        origin=origin,
    )
