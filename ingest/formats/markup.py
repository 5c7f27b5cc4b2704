"""reStructuredText and AsciiDoc: the file's own text, with sections from its headings."""

from __future__ import annotations

import re
from collections.abc import Callable

from ingest.formats.headings import Heading, heading_regions
from ingest.formats.plain import decode
from ingest.parsed import Parsed, join_bare

# docutils allows any of these as a line of adornment.
_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{1,}[ \t]*$")
_NO_TITLE = re.compile(r"(?:[-*+•]|\.\.)\s")
_INDENTED = re.compile(r"\s")
_ASCIIDOC = re.compile(r"(={1,6}|#{1,6})[ \t]+(\S.*?)(?:[ \t]+\1)?[ \t]*$")
# Blocks in which nothing is a heading: listings, literals, passthroughs, comments, examples, quotes, tables.
_FENCE = re.compile(r"(-{4,}|\.{4,}|\+{4,}|/{4,}|={4,}|\*{4,}|_{4,}|```|--|[|,:!]={3,})[ \t]*\w*$")
_MARKUP = re.compile(r"``?([^`]+)``?(?:__?)?|\*\*?([^*]+)\*\*?|:[\w:+.-]+:`([^`]+)`")


def parse_rst(data: bytes, name: str) -> Parsed:
    return _parsed(decode(data, name), name, _rst_headings)


def parse_asciidoc(data: bytes, name: str) -> Parsed:
    return _parsed(decode(data, name), name, _asciidoc_headings)


def _parsed(text: str, name: str, find: Callable[[str], list[Heading]]) -> Parsed:
    headings = find(text)
    title = next((title for _, _, level, title in headings if level == 1), "")
    return Parsed(text, title or name, join_bare(*heading_regions(text, headings)))


def _rst_headings(text: str) -> list[Heading]:
    """Levels in the order in which their adornments appear first.

    https://docutils.sourceforge.io/docs/ref/rst/restructuredtext.html#sections
    """
    lines = text.split("\n")
    starts = _starts(lines)
    levels: dict[tuple[str, bool], int] = {}
    found: list[Heading] = []
    index = 1
    while index < len(lines):
        title, under = lines[index - 1].rstrip(), lines[index]
        over = lines[index - 2] if index >= 2 else ""
        overlined = bool(_ADORNMENT.match(over)) and over.strip() == under.strip()
        # Above a title, or above its overline, stands a blank line or nothing.
        place = index - 3 if overlined else index - 2
        if (place < 0 or not lines[place].strip()) and _is_title(title, under, overlined):
            level = levels.setdefault((under[0], overlined), len(levels) + 1)
            first = starts[index - 2] if overlined else starts[index - 1]
            found.append((first, min(starts[index + 1], len(text)), level, _plain(title)))
            index += 1
        index += 1
    return found


def _is_title(title: str, under: str, overlined: bool) -> bool:
    if not title.strip() or not _ADORNMENT.match(under) or _ADORNMENT.match(title) or _NO_TITLE.match(title):
        return False
    # docutils warns of an underline that is too short, and takes it from four characters on.
    long_enough = len(under.rstrip()) >= min(len(title.strip()), 4)
    return long_enough and (overlined or not _INDENTED.match(title))


def _asciidoc_headings(text: str) -> list[Heading]:
    """https://docs.asciidoctor.org/asciidoc/latest/sections/titles-and-levels/"""
    lines = text.split("\n")
    starts = _starts(lines)
    found: list[Heading] = []
    fence = ""
    for index, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and (not fence or mark.group(1) == fence):
            fence = "" if fence else mark.group(1)
            continue
        heading = None if fence else _ASCIIDOC.match(line)
        if heading:
            level = len(heading.group(1))
            found.append((starts[index], min(starts[index + 1], len(text)), level, _plain(heading.group(2))))
    return found


def _starts(lines: list[str]) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _plain(title: str) -> str:
    """A heading's text without the marks of code and emphasis."""
    return " ".join(_MARKUP.sub(lambda match: next(filter(None, match.groups())), title).split())
