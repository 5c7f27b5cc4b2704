"""From an answer and the blocks that were read to citations that can be checked. Pure.

A sentence of the answer is compared with every window of one to three sentences of a block, and with the rows of its
tables under their headings: the share of its terms that the window holds, whether all its numbers (with what they
count) and names occur there, and whether the window says something else with these words (`rag.contradiction`).
``exact`` needs all three, ``partial`` a good share of the terms; anything less is ``unsupported``. A model's mark
``[n]`` confines the search to block n; a sentence without a mark that holds is searched for in all blocks, and says
so (``origin``). Words are compared, not meanings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rag.claims import Claim, claims
from rag.contradiction import asks, contradicts, is_passive
from rag.prompt import is_code
from rag.tables import Row, is_of_other_columns, rows
from rag.terms import Term, terms
from rag.text import sentences
from rag.types import Block, Citation, Grade, Origin, Place, Span

WINDOW = 3  # sentences; more would quote a paragraph where a reader wants the line
LONGEST = 600  # characters; a longer "sentence" (minified code, data in one line) is quoted in pieces
LONGEST_TABLE = 1500  # characters from a table's headings to a row, where both are quoted
# Shares of a sentence's terms. The more sentences it takes to find them, the less they say together.
EXACT = {1: 0.6, 2: 0.7, 3: 0.7}
PARTIAL = 0.4

_ORDER: tuple[Grade, ...] = ("unsupported", "partial", "exact")


class _Source:
    """A block as sentences, each as its terms, and the sentences that hold each stem."""

    def __init__(self, block: Block) -> None:
        self.block, self.text = block, block.text
        self.spans = list(_pieces(self.text))
        self.rows: dict[int, Row] = rows(self.text, self.spans)
        self.terms: list[Sequence[Term]] = []
        self.sizes: list[int] = []
        self.holding: dict[str, list[int]] = {}
        self.common: set[str] = set()  # stems that are written small somewhere: not only names
        for at in range(len(self.spans)):
            found = self.rows[at].terms if at in self.rows else _terms(self.line(at))
            bag = {term.stem for term in found}
            for stem in bag:
                self.holding.setdefault(stem, []).append(at)
            self.common.update(term.stem for term in found if term.word.islower())
            self.terms.append(found)
            self.sizes.append(len(bag))
        self.stems = frozenset(self.holding)

    def share(self, claim: Claim) -> float:
        """Of the claim's words; no window holds more of them."""
        return len(claim.content & self.stems) / len(claim.content)

    def windows(self, at: int, near: dict[int, set[str]]) -> Iterator[tuple[int, ...]]:
        """Sentences that may support a claim together, the first of them ``at``; ``near`` are those that share a
        word with it. A window that ends with a sentence that shares nothing is no better than the one without it."""
        for last in range(at, at + WINDOW):
            if last in near:
                yield tuple(each for each in range(at, last + 1) if each in near)
        row = self.rows.get(at)
        if (
            row
            and row.header in near
            and self.span((row.header, at)).end - self.spans[row.header].start <= LONGEST_TABLE
        ):
            yield row.header, at

    def span(self, lines: Sequence[int]) -> Span:
        return Span(self.spans[lines[0]].start, self.spans[lines[-1]].end)

    def is_header(self, at: int) -> bool:
        return at in self.rows and self.rows[at].header == at

    def line(self, at: int) -> str:
        return self.text[self.spans[at].start : self.spans[at].end]


@dataclass(frozen=True, slots=True)
class _Support:
    """Sentences of a source, in order, and how well they support a claim."""

    source: _Source
    lines: tuple[int, ...]
    share: float = 0.0
    grade: Grade = "unsupported"
    complete: bool = False

    @property
    def rank(self) -> tuple[int, float, bool, int, int, int]:
        """Better is greater: the grade, more words, complete, fewer words around them, then the earlier place."""
        around = sum(self.source.sizes[self.lines[0] : self.lines[-1] + 1])
        return (
            _ORDER.index(self.grade),
            self.share,
            self.complete,
            -around,
            -self.source.block.number,
            -self.lines[0],
        )

    def can_be_beaten(self, share: float) -> bool:
        """Whether it matters if there is a window of that share: it may be as good, or raise the grade."""
        return share >= max(self.share, PARTIAL) or (share >= EXACT[1] and self.grade != "exact")

    @property
    def span(self) -> Span:
        """In the block's text."""
        return self.source.span(self.lines)


def resolve(reply: str, blocks: Sequence[Block]) -> tuple[tuple[Citation, ...], tuple[Span, ...]]:
    """Citations in the order of the reply, and its sentences without support. A mark of a block that was
    never sent counts as no mark."""
    sources = {block.number: source for block in blocks if (source := _Source(block)).spans}
    common = frozenset().union(*(source.common for source in sources.values()))
    citations: list[Citation] = []
    unsupported: list[Span] = []
    known: dict[tuple[object, ...], list[tuple[_Support, Origin]]] = {}
    code = [source.text for source in sources.values() if is_code(source.block.document)]
    for claim in claims(reply, common, code):
        if claim.key not in known:
            known[claim.key] = _supports(claim, sources)
        citations += [_citation(claim, support, origin) for support, origin in known[claim.key]]
        if all(support.grade == "unsupported" for support, _ in known[claim.key]):
            unsupported.append(claim.span)
    return tuple(citations), tuple(unsupported)


def _supports(claim: Claim, sources: dict[int, _Source]) -> list[tuple[_Support, Origin]]:
    """The best of each block that is cited; where none of them holds, the best of all if that does."""
    cited = [sources[number] for number in dict.fromkeys(claim.cited) if number in sources]
    marked: list[tuple[_Support, Origin]] = [
        (_best(claim, source) or _Support(source, (0,)), "mark") for source in cited
    ]
    if any(support.grade != "unsupported" for support, _ in marked):
        return marked
    may_hold = [source for source in sources.values() if source.share(claim) >= PARTIAL]
    found = [support for source in may_hold if (support := _best(claim, source))]
    best = max(found, key=lambda support: support.rank, default=None)
    return [*marked, (best, "support")] if best and best.grade != "unsupported" else marked


def _best(claim: Claim, source: _Source) -> _Support | None:
    """The window of the source that supports the claim best; None where none of its words occurs."""
    shared: dict[int, set[str]] = {}
    for stem in claim.content:
        for at in source.holding.get(stem, ()):
            shared.setdefault(at, set()).add(stem)
    if not shared:
        return None
    # Most promising first, since few windows beat a good one.
    order = sorted(shared, key=lambda at: (-len(shared[at]), at))
    best = _support(claim, source, shared, (order[0],))
    for first in order:
        for lines in source.windows(first, shared):
            share = len(set().union(*(shared[at] for at in lines))) / len(claim.content)
            if best.can_be_beaten(share):
                best = max(best, _support(claim, source, shared, lines), key=lambda each: each.rank)
    return best


def _support(claim: Claim, source: _Source, shared: dict[int, set[str]], lines: tuple[int, ...]) -> _Support:
    share = len(set().union(*(shared[at] for at in lines))) / len(claim.content)
    # A number alone in a sentence about something else is another number; alone in a heading or cell it is not.
    about = [at for at in lines if len(shared[at]) >= min(2, source.sizes[at] / 2) or source.is_header(at)]
    complete = claim.required <= set().union(*(shared[at] for at in about))
    if share < PARTIAL:
        return _Support(source, lines, share, "unsupported", complete)
    is_exact = share >= EXACT[min(len(lines), WINDOW)] and complete and _agrees(claim, source, shared, lines)
    return _Support(source, lines, share, "exact" if is_exact else "partial", complete)


def _agrees(claim: Claim, source: _Source, shared: dict[int, set[str]], lines: tuple[int, ...]) -> bool:
    # The sentences that share most are what the claim is about.
    most = max(len(shared[at]) for at in lines)
    if not claim.asks and any(asks(source.line(at)) for at in lines if len(shared[at]) == most):
        return False
    said = [term for at in lines for term in source.terms[at]]
    is_turned = claim.is_passive != any(is_passive(source.line(at)) for at in lines)
    row = source.rows.get(lines[-1])
    if row is None:
        return not contradicts(claim.terms, said, claim.required, is_turned)
    # In a table it is the column, not the distance, that says what belongs together.
    numbers = {term.stem for term in claim.terms if term.is_number}
    is_elsewhere = is_of_other_columns(claim.content, numbers, row, source.rows[row.header])
    return not is_elsewhere and not contradicts(claim.terms, said, frozenset(), is_turned)


@lru_cache(maxsize=16_384)  # of the passages that are read again and again
def _terms(line: str) -> tuple[Term, ...]:
    return tuple(terms(line))


def _pieces(text: str) -> Iterator[Span]:
    for span in sentences(text):
        start = span.start
        while span.end - start > LONGEST:
            cut = text.rfind(" ", start + 1, start + LONGEST)
            end = cut if cut > start else start + LONGEST
            yield Span(start, end)
            start = end + (cut > start)
        yield Span(start, span.end)


def _citation(claim: Claim, support: _Support, origin: Origin) -> Citation:
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
