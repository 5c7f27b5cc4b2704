"""Small pure functions over text that several stages share: the header, sentences, words."""

from __future__ import annotations

import re

from rag.types import Document, Passage, Span

# A sentence ends at . ! ? (and closing quotes or brackets) before white space and something that can begin
# one; a line break always ends it, since tables, lists and code are read line by line.
_BOUNDARY = re.compile(
    r"""(?<=[.!?])["'”’)\]]*\s+(?=["'“‘(\[]*[A-Z0-9À-Þ])|(?<=[。！？])|\n+""",
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|e\.g|i\.e|etc|vs|cf|approx|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Fig|Eq|Sec|p|pp)\.$"
)
_WORD = re.compile(r"\d+(?:[.,:/-]\d+)*%?|[^\W\d_](?:[\w'’]*[^\W_])?")


def label(document: Document) -> str:
    """File name and title, said once where one holds the other: ``samples/manual.pdf: Heron H2 Manual``."""
    if document.name in document.title:
        return document.title
    return document.name if document.title in document.name else f"{document.name}: {document.title}"


def header(document: Document, passage: Passage) -> str:
    """What the index sees before a passage: file, title, sheet and heading path. The model does not read it so."""
    sheet = (passage.sheet,) if passage.sheet else ()
    return " > ".join((label(document), *sheet, *passage.section))


def indexed_text(document: Document, passage: Passage) -> str:
    """The text that is embedded and weighted for BM25. A file's name in front raises page recall; docs/log.md."""
    return f"{header(document, passage)}\n{passage.text}"


def sentences(text: str) -> list[Span]:
    """Spans of the sentences and lines of ``text``, without surrounding white space; empty ones are left out."""
    spans, start = [], 0
    for match in _BOUNDARY.finditer(text):
        piece = text[start : match.start()]
        if "\n" not in match.group() and _ABBREVIATION.search(piece[-12:]):
            continue
        spans.append(_trimmed(text, start, match.end()))
        start = match.end()
    spans.append(_trimmed(text, start, len(text)))
    return [span for span in spans if span.end > span.start]


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end)


def words(text: str) -> list[str]:
    """Lower-cased words and numbers; a number keeps its decimal point, percent sign and inner dashes."""
    return [match.group().lower() for match in _WORD.finditer(text)]


def repetition(text: str) -> int | None:
    """Where a text begins to go round in circles: the second start of a sentence that stands in it three
    times; None where it does not. List numbers in front make no difference."""
    starts: dict[str, list[int]] = {}
    for span in sentences(text):
        key = " ".join(words(text[span.start : span.end])).lstrip("0123456789 ")
        if len(key) >= 12:  # "yes" and "it is" may come again
            starts.setdefault(key, []).append(span.start)
    return min((found[1] for found in starts.values() if len(found) >= 3), default=None)
