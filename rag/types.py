"""The values that flow through openbook, from a file to a cited answer.

Everything here is frozen and plain, so that every other module can import it.
Offsets are in characters of the document's normalized text, half-open. Lines and pages count from 1.
Tokens are those of the served model's tokenizer. Times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal
from urllib.parse import unquote, urlsplit

from rag.question import Filter

Grade = Literal["exact", "partial", "unsupported"]
Origin = Literal["mark", "support"]
At = tuple[str, int]  # a passage by its document's id and its ordinal


@dataclass(frozen=True, slots=True)
class Span:
    """Characters ``[start, end)`` of a text."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"not a span: [{self.start}, {self.end})")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader looks a span up: a page (PDF) or slide, a sheet, and lines of the normalized text."""

    line_start: int
    line_end: int
    page: int | None = None
    sheet: str | None = None

    def __str__(self) -> str:
        if self.page is not None:
            return f"p. {self.page}"
        if self.sheet is not None:
            return f"sheet {self.sheet}"
        if self.line_start == self.line_end:
            return f"line {self.line_start}"
        return f"lines {self.line_start}-{self.line_end}"


@lru_cache(maxsize=8192)
def short_name(source: str) -> str:
    """The last two parts of a source URI's path, ``samples/manual.pdf``: what people call the file."""
    return unquote("/".join(urlsplit(source).path.strip("/").split("/")[-2:]))


@dataclass(frozen=True, slots=True)
class Document:
    """One source. ``id`` hashes (collection, source URI); ``revision`` hashes all that its passages depend on.

    ``tokenizer`` names whose tokens are counted. Of ``pages``, ``ocr_pages`` were read from their image and
    ``empty_pages`` gave no text. ``modified_at`` is when the file was last changed (ISO 8601, UTC), ``language`` what
    its text is written in (ISO 639-1; empty where that is not sure), ``code`` the programming language of what has an
    outline (rag/code/outline.py), ``fields`` its front matter."""

    id: str
    collection: str
    source: str
    title: str
    media_type: str
    content_hash: str
    revision: str
    characters: int
    tokens: int
    passages: int
    pages: int | None = None
    ocr_pages: int = 0
    empty_pages: int = 0
    tokenizer: str = ""
    ingested_at: str = ""
    modified_at: str = ""
    language: str = ""
    code: str = ""
    fields: dict[str, str | list[str]] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        return short_name(self.source)


@dataclass(frozen=True, slots=True)
class Passage:
    """A tile of a document: ``"".join(p.text for p in passages) == text``, in order of ``ordinal``.
    A passage lies within one page or sheet and one section. ``line`` is the line that ``start`` is on. ``ocr`` is
    None for a file's own text; for text that was recognized in an image, how sure that is (0 to 1). ``about`` says what
    it goes on with, where that stands in an earlier one: a function's signature and what it is for; ``doc`` is what it
    begins with is for, in the first sentence of its documentation."""

    id: str
    document_id: str
    revision: str
    ordinal: int
    start: int
    line: int
    text: str
    tokens: int
    section: tuple[str, ...] = ()
    page: int | None = None
    sheet: str | None = None
    ocr: float | None = None
    about: str = ""
    doc: str = ""

    @property
    def at(self) -> At:
        return self.document_id, self.ordinal

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)

    def place(self, span: Span) -> Place:
        """The place of ``span`` (offsets in the document), which must lie within this passage."""
        if not self.start <= span.start <= span.end <= self.end:
            raise ValueError(f"{span} is not within passage {self.ordinal} [{self.start}, {self.end})")
        first = self.line + self.text.count("\n", 0, span.start - self.start)
        # A span that ends with a line break ends on the line that it breaks.
        last = self.line + self.text.count("\n", 0, max(span.start, span.end - 1) - self.start)
        return Place(first, last, self.page, self.sheet)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A passage that the index found: cosine of the vectors, and BM25 (0 where it holds no word of the question)."""

    document: Document
    passage: Passage
    cosine: float
    bm25: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question; ``score`` is comparable within one search only. ``via`` is the title of the
    document that names this one, where that raised the hit."""

    document: Document
    passage: Passage
    score: float
    cosine: float = 0.0
    bm25: float = 0.0
    via: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive passages of one document as the model reads them, under the mark ``[number]``."""

    number: int
    document: Document
    passages: tuple[Passage, ...]

    @property
    def text(self) -> str:
        return "".join(passage.text for passage in self.passages)

    @property
    def span(self) -> Span:
        return Span(self.passages[0].start, self.passages[-1].end)

    @property
    def tokens(self) -> int:
        return sum(passage.tokens for passage in self.passages)

    @property
    def place(self) -> Place:
        """Where the block begins and ends; page and sheet are those of its first passage."""
        first, last = self.passages[0], self.passages[-1]
        end = last.place(last.span).line_end
        return Place(first.line, end, first.page, first.sheet)


@dataclass(frozen=True, slots=True)
class Drop:
    """Something that was found and not read, and why."""

    document_id: str
    title: str
    ordinals: tuple[int, ...]
    tokens: int
    reason: str


@dataclass(frozen=True, slots=True)
class Context:
    """What the model reads. ``tokens`` counts block text and headers; it never exceeds ``budget``."""

    blocks: tuple[Block, ...]
    drops: tuple[Drop, ...]
    tokens: int
    budget: int
    ranking: tuple[int, ...] = ()
    whole_corpus: bool = False


@dataclass(frozen=True, slots=True)
class Citation:
    """A sentence of the answer tied to the words in a source that support it.
    ``sentence`` is a span of the answer's text, ``span`` one of the document's; ``quote`` is the document's
    text at ``span``, word for word. ``origin`` tells a mark that the model wrote from support found afterwards.
    ``commit`` is that of a file in a repository; empty for one that is not as it was committed."""

    number: int
    sentence: Span
    document_id: str
    source: str
    title: str
    span: Span
    place: Place
    quote: str
    section: tuple[str, ...]
    grade: Grade
    origin: Origin
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """The server's own counts, in tokens. ``cached`` is ``None`` where the server does not say: never zero."""

    prompt: int
    completion: int
    cached: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """One line of the receipt: a block that the model read."""

    number: int
    document_id: str
    source: str
    title: str
    place: Place
    span: Span
    tokens: int


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A model, by its name in the settings, that should have answered, and why it did not."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was searched, read and dropped for one question, what it cost, and how long each stage took. Of the prompt
    ``predicted_cached`` tokens were expected in the server's cache (it says ``usage.cached``), the first token after
    ``predicted_s`` (it took ``seconds["first_token"]``), None where that is not known; ``target_s`` was asked for.
    ``model`` is the server's name for the one that answered, ``answered_by`` that of the settings; those of
    ``passed_over`` were down."""

    collection: str
    documents: int
    passages: int
    hits: int
    read: tuple[Read, ...]
    dropped: tuple[Drop, ...]
    context_tokens: int
    budget_tokens: int
    model: str
    usage: Usage | None
    seconds: dict[str, float] = field(default_factory=dict, hash=False)
    warnings: tuple[str, ...] = ()
    predicted_cached: int | None = None
    predicted_s: float | None = None
    target_s: float | None = None
    answered_by: str = ""
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True)
class Miss:
    """A passage that came nearest to a question that was not answered. ``quote`` is its beginning."""

    document_id: str
    source: str
    title: str
    place: Place
    quote: str
    score: float
    read: bool


@dataclass(frozen=True, slots=True)
class Searched:
    """What was searched in vain: collections, and of their documents and passages those that the filter admits;
    passages that were found and tokens that were read; and the nearest misses, best first."""

    collections: tuple[str, ...]
    among: Filter
    documents: int
    passages: int
    found: int
    tokens_read: int
    nearest: tuple[Miss, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """``answerable`` is false when nothing was found or the model said so; ``reason`` then says which, and
    ``searched`` what was searched. ``unsupported`` are the sentences of ``text`` without support. By its ``id`` it can
    be looked up later (rag/answers.py), where it is kept."""

    question: str
    text: str
    answerable: bool
    reason: str | None
    citations: tuple[Citation, ...]
    unsupported: tuple[Span, ...]
    finish_reason: str | None
    receipt: Receipt
    searched: Searched | None = None
    id: str = ""
