"""The sections of a PDF: its table of contents, and where its headings stand in the text."""

from __future__ import annotations

import re
from typing import Any

from ingest.parsed import HeadingPath
from ingest.pdf.words import clean

# The document's title above its first heading, in characters.
_MAX_COVER = 120

Heading = tuple[str, tuple[str, ...]]  # a title and its path, which ends with it


def contents(document: Any) -> dict[int, list[Heading]]:
    """The table of contents by page index; entries that lead to no page are left out."""
    outline = HeadingPath()
    found: dict[int, list[Heading]] = {}
    for bookmark in document.get_toc():
        title = clean(bookmark.get_title() or "")
        if not title:
            continue
        path = outline.enter(bookmark.level, title)
        destination = bookmark.get_dest()
        index = destination.get_index() if destination else None
        if index is not None:
            found.setdefault(index, []).append((title, path))
    return found


def pieces(text: str, headings: list[Heading], path: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
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


def is_heading(piece: str, path: tuple[str, ...]) -> bool:
    """Whether nothing stands under the heading; a few words above a page's first heading are one, too."""
    if not path:
        return len(piece.strip()) < _MAX_COVER
    return len("".join(piece.split())) <= len("".join(path[-1].split())) + 8
