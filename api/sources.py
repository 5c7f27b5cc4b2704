"""What a citation points to, to be looked at: the text of a document around it, and what is drawn of pages of PDFs.

Blocking, and safe to use from threads. All raise CollectionNotFound and DocumentNotFound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.documents import is_id
from ingest.media_types import MEDIA_TYPES
from rag.errors import BadRequest, DocumentNotFound, SourceUnsupported
from rag.ports import Reader
from rag.types import Document, Passage, Span

PDF = MEDIA_TYPES[".pdf"]
MOST_CHARACTERS = 200_000  # of one reply


@dataclass(frozen=True, slots=True)
class Part:
    """Of a document's text: where a passage stands."""

    start: int
    end: int
    line: int
    page: int | None
    sheet: str | None
    section: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PdfPage:
    """A page that can be drawn: its part of the document's text, and what of that is to be marked."""

    document: Document
    number: int
    text: str
    marked: Span


@dataclass(frozen=True, slots=True)
class DocumentText:
    """Characters ``[start, end)`` of a document that has ``characters``: whole passages, without gap."""

    document_id: str
    collection: str
    source: str
    title: str
    media_type: str
    code: str
    pages: int | None
    characters: int
    start: int
    end: int
    text: str
    passages: tuple[Part, ...]


def document_text(reader: Reader, collection: str, id_: str, start: int, end: int | None) -> DocumentText:
    """The passages that hold what stands between ``start`` and ``end``, as far as one reply may have them."""
    document, passages = _document(reader, collection, id_)
    last = start + MOST_CHARACTERS if end is None else min(end, start + MOST_CHARACTERS)
    inside = [each for each in passages if each.start < last and each.end > start]
    return DocumentText(
        document_id=document.id,
        collection=collection,
        source=document.source,
        title=document.title,
        media_type=document.media_type,
        code=document.code,
        pages=document.pages,
        characters=document.characters,
        start=inside[0].start if inside else start,
        end=inside[-1].end if inside else start,
        text="".join(each.text for each in inside),
        passages=tuple(map(_part, inside)),
    )


def pdf_page(reader: Reader, collection: str, id_: str, number: int, span: Span) -> PdfPage:
    """What stands at ``span`` of the document is to be marked. Raises SourceUnsupported for what is no PDF,
    BadRequest."""
    document, passages = _document(reader, collection, id_)
    if document.media_type != PDF:
        raise SourceUnsupported(f"{document.name} is no PDF: it has no pages to show.", "Look at its text.")
    if not 1 <= number <= (document.pages or 0):
        raise BadRequest(
            f"{document.name} has {document.pages} pages, and no page {number}.", "Pages count from 1."
        )
    here = [each for each in passages if each.page == number]
    began = here[0].start if here else 0
    text = "".join(each.text for each in here)
    first, last = (min(max(0, at - began), len(text)) for at in (span.start, span.end))
    return PdfPage(document, number, text, Span(first, last))


def _document(reader: Reader, collection: str, id_: str) -> tuple[Document, Sequence[Passage]]:
    found = reader.documents([id_]) if is_id(id_) else []
    if not found:
        raise DocumentNotFound.of(id_, collection)
    return found[0], reader.read(id_)


def _part(passage: Passage) -> Part:
    return Part(passage.start, passage.end, passage.line, passage.page, passage.sheet, passage.section)
