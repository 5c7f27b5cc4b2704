"""Running headers and footers of a PDF: the outermost lines of its pages, where many pages share them."""

from __future__ import annotations

import re
from collections import Counter

from ingest.pdf.words import Line, Page

# How many lines from a page's top and bottom may be running ones.
_DEPTH = 4
# On so many pages, and on this share of them, a line must stand; a longer one is text.
_MIN_PAGES, _MIN_SHARE = 4, 0.15
_MAX_CHARACTERS = 150
_NUMBER = re.compile(r"\d{1,5}")


def drop_margins(pages: list[Page]) -> None:
    """Takes headers, footers and page numbers out of the pages' lines.

    A number may rise with the pages: lines count as the same where it differs from the page's number by as much.
    """
    edges = [(_edge(page, top=True), _edge(page, top=False)) for page in pages]
    counts: Counter[str] = Counter()
    for both in edges:
        counts.update({key for edge in both for _, keys in edge for key in keys})
    least = max(_MIN_PAGES, _MIN_SHARE * sum(bool(page.lines) for page in pages))
    running = {key for key, count in counts.items() if count >= least}
    for page, both in zip(pages, edges, strict=True):
        gone = {index for edge in both for index in _outermost(edge, running)}
        if gone:
            page.lines = [line for index, line in enumerate(page.lines) if index not in gone]


def _edge(page: Page, top: bool) -> list[tuple[int, set[str]]]:
    """The outermost lines from the outside, each with what it has in common with those of other pages."""
    order = sorted(range(len(page.lines)), key=lambda index: page.lines[index].y, reverse=top)
    return [(index, _keys(page.lines[index], page.number)) for index in order[:_DEPTH]]


def _keys(line: Line, number: int) -> set[str]:
    text = line.text
    if len(text) > _MAX_CHARACTERS:
        return set()
    keys = {text}
    for found in _NUMBER.finditer(text):
        keys.add(f"{text[: found.start()]}\0{int(found[0]) - number}\0{text[found.end() :]}")
    return keys


def _outermost(edge: list[tuple[int, set[str]]], running: set[str]) -> list[int]:
    gone = []
    for index, keys in edge:
        if not keys & running:
            break
        gone.append(index)
    return gone
