"""The text of a PDF page from its lines: paragraphs, tables in their place, words that a line's end broke."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from ingest.pdf.tables import Table
from ingest.pdf.words import Line, Page

# Lines further apart than this begin a paragraph: in the page's usual steps, and in heights of a line.
_PARAGRAPH, _MIN_PARAGRAPH = 1.3, 1.25
# A broken word goes on in a line at most this far below, in heights.
_NEXT_LINE = 3.0

_BROKEN = re.compile(r"([^\W\d_]+)[-‐]$")
_REST = re.compile(r"[^\W\d_]+")
# What is written with a hyphen before almost anything.
_PREFIXES = {"non", "self", "ex", "co", "all", "cross", "quasi"}


class Vocabulary:
    """The document's own words, which tell a word that a line's end broke from one that has a hyphen."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages
        self._known: set[str] = set()

    @property
    def _words(self) -> set[str]:
        """Made when first asked for: few documents break words."""
        if not self._known:
            for page in self._pages:
                self._known.update(" ".join([line.text for line in page.lines]).casefold().split())
        return self._known

    def joined(self, left: str, right: str) -> str:
        """``inter-`` and ``national`` as one word, with the hyphen only if it belongs there; "" if they are two."""
        broken, rest = _BROKEN.search(left), _REST.match(right)
        if not broken or not rest:
            return ""
        stem, tail = broken[1].casefold(), rest[0].casefold()
        if f"{stem}-{tail}" in self._words or not rest[0].islower():
            return left + right
        if stem + tail in self._words:
            return left[:-1] + right
        compound = (
            len(stem) == 1 or stem in _PREFIXES or left.count("-") > 1 or right[rest.end() :][:1] == "-"
        )
        compound = compound or (stem in self._words and tail in self._words)
        return left + right if compound else left[:-1] + right


def page_text(page: Page, tables: list[Table], vocabulary: Vocabulary) -> str:
    """Lines as they are on the page, paragraphs and tables parted by blank lines."""
    table_of = {index: table for table in tables for index in table.lines}
    steps = [above.y - below.y for above, below in pairwise(page.lines)]
    usual = median([step for step in steps if step > 1] or [0.0])
    parts: list[str] = []
    done: set[int] = set()
    above: Line | None = None  # the line of text right before
    for index, line in enumerate(page.lines):
        table = table_of.get(index)
        if table is None:
            words = line.words
            joined = vocabulary.joined(above.words[-1], words[0]) if above and _is_next(above, line) else ""
            if joined and above:
                parts[-1] = parts[-1][: -len(above.words[-1])] + joined
                words = words[1:]
            if words:
                parts += [_gap(above, line, usual) if parts else "", " ".join(words)]
            above = line if words else None
        elif id(table) not in done:
            # What stands right above a table names it: they stay together.
            parts += ["\n" if above else "\n\n" if parts else "", table.markdown]
            done.add(id(table))
            above = None
    return "".join(parts)


def _is_next(above: Line, line: Line) -> bool:
    return 0 < above.y - line.y <= _NEXT_LINE * line.height


def _gap(above: Line | None, line: Line, usual: float) -> str:
    if above is None:
        return "\n\n"
    step = above.y - line.y
    return "\n\n" if step > max(_PARAGRAPH * usual, _MIN_PARAGRAPH * line.height) else "\n"
