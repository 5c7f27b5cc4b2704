"""Headings of a PDF without a table of contents: short lines that are bold or larger than the text."""

from __future__ import annotations

import re
from collections import Counter

from ingest.parsed import HeadingPath
from ingest.pdf.contents import Heading
from ingest.pdf.tables import Table
from ingest.pdf.words import Line, Page

_MAX_WORDS, _MAX_CHARACTERS = 14, 110
# Larger than the text's lines by this factor; sizes that differ by less are the same.
_LARGER = 1.15
# Free space above, in heights of the line.
_SPACE_ABOVE = 1.25
_TITLE = re.compile(r"(?!.*[☐☒☑])[^\W_].*[^\W\d_]{2}")

# Height in tenths of the text's, all in capitals, bold: the greater stands above the lesser.
_Style = tuple[int, bool, bool]


def headings_of(pages: list[Page], tables: list[list[Table]]) -> dict[int, list[Heading]]:
    """As `ingest.pdf.contents.contents`; ``tables`` are those of each page, whose lines are no headings."""
    heights = Counter(round(line.height, 1) for page in pages for line in page.lines if line.running)
    if not heights:
        return {}
    usual = heights.most_common(1)[0][0]
    found = [
        (page.number - 1, line, _style(line, usual))
        for page, here in zip(pages, tables, strict=True)
        for index, line in enumerate(page.lines)
        if _is_heading(page.lines, index, usual) and not any(index in table.lines for table in here)
    ]
    # A style of one page alone is that of a cover or a title page.
    on: dict[_Style, set[int]] = {}
    for index, _, style in found:
        on.setdefault(style, set()).add(index)
    styles = sorted((style for style, where in on.items() if len(where) > 1 or len(pages) == 1), reverse=True)
    made: dict[int, list[Heading]] = {}
    outline = HeadingPath()
    for index, line, style in found:
        if style in styles:
            made.setdefault(index, []).append((line.text, outline.enter(styles.index(style), line.text)))
    return made


def _style(line: Line, usual: float) -> _Style:
    return round(10 * line.height / usual), line.text.isupper(), line.bold


def _is_heading(lines: list[Line], index: int, usual: float) -> bool:
    line, text = lines[index], lines[index].text
    if line.running or len(line.words) > _MAX_WORDS or len(text) > _MAX_CHARACTERS or not _TITLE.match(text):
        return False
    if not (line.bold or line.height >= _LARGER * usual) or text[-1] in ".,;:" or text[0].islower():
        return False
    above = lines[index - 1] if index else None
    return above is None or above.y < line.y or above.y - line.y > _SPACE_ABOVE * line.height
