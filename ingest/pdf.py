"""PDF through PDFium: a region per page, and sections where the file has a table of contents."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import PurePosixPath
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.parsed import Composer, Outline, Parsed, Region
from rag.errors import SourceCorrupt, SourceEmpty

log = logging.getLogger(__name__)

# PDFium keeps global state and must not be called from two threads at once.
_LOCK = threading.Lock()

# Titles that programs write by themselves; the file's name says more.
_NO_TITLE = re.compile(
    r"(?:\(?(?:untitled|anonymous|unspecified|document\d*)\b|(?:microsoft (?:word|powerpoint)|powerpoint pres)"
    r"|\S+\.[a-z]{2,4}$)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]{3}|[^\W\d_a-zA-Z]")  # also a single letter of another script

# PDFium marks a hyphen at a line's end with U+FFFE (older builds: U+0002).
_HYPHENS = str.maketrans({"\ufffe": "-", "\x02": "-"})
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]")

# The document's title above its first heading, in characters.
_MAX_COVER = 120

_Heading = tuple[str, tuple[str, ...]]  # a title and its path, which ends with it


def parse_pdf(data: bytes, name: str) -> Parsed:
    """Pages count from 1, blank ones included in the count. Raises SourceCorrupt, also where a password is
    needed, and SourceEmpty where no page has a text layer."""
    with _LOCK:
        document = _open(data, name)
        try:
            texts = [_page_text(document, index, name) for index in range(len(document))]
            contents = _contents(document)
            title = _title(document, name)
        finally:
            document.close()
    if not any(texts):
        raise SourceEmpty(
            f"{name} has no text layer: {len(texts)} page(s), none with text.",
            "It looks scanned. This version does not recognize text in images: run OCR on it first.",
        )
    if not all(texts):
        log.info("%s: %d of %d pages have no text", name, texts.count(""), len(texts))
    composer = Composer()
    path: tuple[str, ...] = ()
    for index, text in enumerate(texts):
        headings = contents.get(index, [])
        for position, (piece, path_here) in enumerate(_pieces(text, headings, path)):
            place = Region(0, path_here, page=index + 1)
            composer.add(piece, place, gap="" if position else "\n\n", heading=_is_heading(piece, path_here))
        path = headings[-1][1] if headings else path
    return composer.finish(title, pages=len(texts))


def _open(data: bytes, name: str) -> Any:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as exc:
        if getattr(exc, "err_code", None) == pdfium.FPDF_ERR_PASSWORD:
            raise SourceCorrupt(
                f"{name} is encrypted and needs a password.",
                "Save a copy without the password and ingest that.",
            ) from exc
        raise SourceCorrupt(
            f"{name} cannot be read as a PDF ({exc}).", "Open it in a viewer; if that works, export it again."
        ) from exc


def _page_text(document: Any, index: int, name: str) -> str:
    try:
        page = document[index]
        raw: str = page.get_textpage().get_text_range()
        page.close()
    except pypdfium2.PdfiumError as exc:
        # One broken page of hundreds is no reason to lose the others.
        log.warning("%s: page %d cannot be read and is left out (%s)", name, index + 1, exc)
        return ""
    text = raw.replace("\r\n", "\n").replace("\r", "\n").translate(_HYPHENS)
    text = re.sub(r"[^\S\n]+$", "", _CONTROLS.sub("", text), flags=re.MULTILINE)
    return text.strip("\n")


def _title(document: Any, name: str) -> str:
    """The metadata's title where a person wrote it, else the file's name: a first line is most often a
    running header or the issuer's, and says less."""
    title = " ".join(_CONTROLS.sub("", document.get_metadata_value("Title") or "").split())
    return title if _WORD.search(title) and not _NO_TITLE.match(title) else PurePosixPath(name).name


def _contents(document: Any) -> dict[int, list[_Heading]]:
    """The table of contents by page index; entries that lead to no page are left out."""
    outline = Outline()
    found: dict[int, list[_Heading]] = {}
    for bookmark in document.get_toc():
        title = " ".join(_CONTROLS.sub("", bookmark.get_title() or "").split())
        if not title:
            continue
        path = outline.enter(bookmark.level, title)
        destination = bookmark.get_dest()
        index = destination.get_index() if destination else None
        if index is not None:
            found.setdefault(index, []).append((title, path))
    return found


def _pieces(text: str, headings: list[_Heading], path: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """A page cut where its headings stand in the text, each piece with its path.

    The first heading of a page that cannot be found (it may be an image) holds from the top of the page, a
    later one from the next page on.
    """
    cuts: list[tuple[int, tuple[str, ...]]] = [(0, path)]
    for number, (title, below) in enumerate(headings):
        start = _find(text, title, cuts[-1][0])
        if start is None and number == 0:
            start = 0
        if start is None:
            continue
        # Nothing but blanks above it: the heading opens the page.
        if not text[cuts[-1][0] : start].strip():
            start = cuts.pop()[0]
        cuts.append((start, below))
    ends = [start for start, _ in cuts[1:]] + [len(text)]
    return [(text[start:end], below) for (start, below), end in zip(cuts, ends, strict=True)]


def _find(text: str, title: str, start: int) -> int | None:
    """Where a line begins with ``title``, perhaps after a number, however its words are broken."""
    words = r"\s+".join(re.escape(word) for word in title.split())
    found = re.compile(rf"^[^\S\n]*(?:[\dA-Z.]+[^\S\n]+)?{words}", re.M | re.I).search(text, start)
    return found.start() if found else None


def _is_heading(piece: str, path: tuple[str, ...]) -> bool:
    """Whether nothing stands under the heading; a few words above a page's first heading are one, too."""
    if not path:
        return len(piece.strip()) < _MAX_COVER
    return len("".join(piece.split())) <= len("".join(path[-1].split())) + 8
