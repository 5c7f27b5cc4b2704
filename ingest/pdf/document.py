"""PDF through PDFium: a region per page, and sections by the table of contents, or else by how headings look.

The document's text is what is written here from the words and their places: tables of numbers as Markdown, words
that a line's end broke put together, running headers and footers left out. Passages hold that text without loss,
and offsets count its characters, so a citation quotes exactly what was stored, on the page where it stands.

A page without a text layer, or with one that has no meaning, is read from its image. One with text never is.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.formats.ocr import Recognized, recognize
from ingest.parsed import Composer, Parsed, Region
from ingest.pdf.contents import Heading, contents, is_heading, pieces
from ingest.pdf.headings import headings_of
from ingest.pdf.margins import drop_margins
from ingest.pdf.pdfium import LOCK, open_pdf
from ingest.pdf.scan import has_picture, render
from ingest.pdf.tables import find_tables
from ingest.pdf.text import Vocabulary, page_text
from ingest.pdf.words import Page, clean, read_words
from rag.errors import SourceEmpty

log = logging.getLogger(__name__)

# Titles that programs write by themselves; the file's name says more.
_NO_TITLE = re.compile(
    r"(?:\(?(?:untitled|anonymous|unspecified|document\d*)\b|(?:microsoft (?:word|powerpoint)|powerpoint pres)"
    r"|\S+\.[a-z]{2,4}$)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{3}|[^\W\d_a-zA-Z]")  # also a single letter of another script


def parse_pdf(data: bytes, name: str) -> Parsed:
    """Pages count from 1, blank ones included in the count. Raises SourceCorrupt, also where a password is
    needed, and SourceEmpty where no page has text, not even in its image."""
    with LOCK:
        document = open_pdf(data, name)
    try:
        with LOCK:
            pages = [_read(document, index, name) for index in range(len(document))]
            headings = contents(document)
            title = _title(document, name)
        seen = {page.number: _recognize(document, page.number, name) for page in pages if page.is_picture}
    finally:
        with LOCK:
            document.close()
    if not any(page.lines for page in pages) and not any(each.text for each in seen.values()):
        raise _empty(name, len(pages), len(seen))
    empty = sum(not page.lines and not (page.number in seen and seen[page.number].text) for page in pages)
    if empty:
        log.info("%s: %d of %d pages have no text", name, empty, len(pages))
    return _compose(pages, seen, headings, title, empty)


def _compose(
    pages: list[Page], seen: dict[int, Recognized], headings: dict[int, list[Heading]], title: str, empty: int
) -> Parsed:
    drop_margins(pages)
    tables = [find_tables(page.lines) for page in pages]
    headings = headings or headings_of(pages, tables)
    vocabulary = Vocabulary(pages)
    composer = Composer()
    path: tuple[str, ...] = ()
    for page, here in zip(pages, tables, strict=True):
        read = seen.get(page.number)
        text = read.text if read else page_text(page, here, vocabulary)
        titles = headings.get(page.number - 1, [])
        for position, (piece, path_here) in enumerate(pieces(text, titles, path)):
            place = Region(0, path_here, page=page.number, ocr=read.confidence if read else None)
            composer.add(piece, place, gap="" if position else "\n\n", heading=is_heading(piece, path_here))
        path = titles[-1][1] if titles else path
    ocr = sum(bool(read.text) for read in seen.values())
    return replace(composer.finish(title, pages=len(pages)), ocr_pages=ocr, empty_pages=empty)


def _empty(name: str, pages: int, pictures: int) -> SourceEmpty:
    if pictures:
        return SourceEmpty(
            f"{name} has no text: {pages} page(s), none with a text layer, and no text was recognized in their images.",
            "Look at it in a viewer; if there is text, scan it again in a higher resolution.",
        )
    return SourceEmpty(
        f"{name} has no text: its {pages} page(s) are blank.",
        "Check that it was exported whole: there is no image on them either that OCR could read.",
    )


def _read(document: Any, index: int, name: str) -> Page:
    try:
        read = _words(document, index)
        if document.formenv and not read.is_picture and _fill_in(document, index):
            read = _words(document, index)
    except pypdfium2.PdfiumError as exc:
        # One broken page of hundreds is no reason to lose the others.
        log.warning("%s: page %d cannot be read and is left out (%s)", name, index + 1, exc)
        return Page(index + 1)
    return read


def _words(document: Any, index: int) -> Page:
    page = document[index]
    try:
        read = read_words(page, index + 1)
        read.is_picture = read.is_picture or (not read.lines and has_picture(page))
    finally:
        page.close()
    return read


def _fill_in(document: Any, index: int) -> bool:
    """Makes what stands in a page's form fields part of its text; whether there was any."""
    page = document[index]
    try:
        done = pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY)
    finally:
        page.close()
    return bool(done == pdfium.FLATTEN_SUCCESS)


def _recognize(document: Any, number: int, name: str) -> Recognized:
    try:
        with LOCK:
            image = render(document, number - 1)
    except pypdfium2.PdfiumError as exc:
        log.warning("%s: page %d cannot be drawn and is left out (%s)", name, number, exc)
        return Recognized("", 0.0)
    return recognize(image)


def _title(document: Any, name: str) -> str:
    """The metadata's title where a person wrote it, else the file's name: a first line is most often a
    running header or the issuer's, and says less."""
    title = clean(document.get_metadata_value("Title") or "")
    return title if _WORD.search(title) and not _NO_TITLE.match(title) else PurePosixPath(name).name
