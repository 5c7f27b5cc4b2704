"""An HTML tree as Markdown-like text: headings make sections, lists, tables, code and captions are kept.

Everything that a browser would show is written. pandoc gives HTML for the formats that it reads, so one writer
serves web pages, e-mail, EPUB, DOCX, ODT and RTF.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from ingest.formats.html_inline import BLOCKS, SKIPPED, inline, is_hidden
from ingest.formats.html_table import table_text
from ingest.formats.plain import clean
from ingest.parsed import Composer, HeadingPath, Parsed, Region

_HEADING = re.compile(r"h([1-6])$")
# ARIA's names for what leads to other pages.
_NAVIGATION = {"navigation", "search", "menu", "menubar"}
# Deeper nesting than any document has; Python's own limit is not far.
_MAX_DEPTH = 150


class HtmlWriter:
    """Writes elements in order. ``links`` keeps the addresses of links, which web pages have too many of;
    ``navigation`` keeps what a page says to be there for finding other pages."""

    def __init__(self, *, links: bool = False, navigation: bool = True) -> None:
        self.composer, self.outline = Composer(), HeadingPath()
        self.page: int | None = None
        self.sheet: str | None = None
        self.title = ""
        self._links, self._navigation = links, navigation
        self._line: list[Any] = []  # text and inline elements that are not yet written

    def start_page(self, number: int) -> None:
        """A page (a slide) without a title does not belong under the title of the one before it."""
        self.page, self.outline = number, HeadingPath()

    def finish(self, name: str, title: str = "", pages: int | None = None) -> Parsed:
        """The title is ``title``, else the first heading, else ``name``."""
        return self.composer.finish(title or self.title or name, pages)

    def paragraph(self, text: str) -> None:
        self.composer.add(text, self._place())

    def heading(self, level: int, title: str) -> None:
        self.outline.enter(level, title)
        self.title = self.title or title
        self.composer.add(f"{'#' * level} {title}", self._place(), heading=True)

    def note(self, text: str) -> None:
        """A paragraph that belongs to the document, not to the section it stands in."""
        self.composer.add(text, Region(0, (), self.page, self.sheet))

    def write(self, element: Any) -> None:
        """An element of lxml and all below it."""
        self._children(element, 0)
        self._flush()

    def _place(self) -> Region:
        return Region(0, self.outline.path, self.page, self.sheet)

    def _children(self, element: Any, depth: int) -> None:
        self._line.append(element.text or "")
        for child in element:
            self._child(child, depth + 1)
            self._line.append(child.tail or "")

    def _child(self, element: Any, depth: int) -> None:
        tag = element.tag
        if not isinstance(tag, str) or tag in SKIPPED or is_hidden(element):
            return
        if not self._navigation and (tag == "nav" or element.get("role") in _NAVIGATION):
            return
        if depth > _MAX_DEPTH or not _holds_blocks(element):
            self._line.append(element)
            return
        self._flush()
        self._block(tag, element, depth)
        self._flush()

    def _block(self, tag: str, element: Any, depth: int) -> None:
        level = _HEADING.match(tag)
        if level:
            title = self._inline(element, " ")
            if title:
                self.heading(int(level.group(1)), title)
        elif tag == "pre":
            code = textwrap.dedent(clean("".join(element.itertext()))).strip("\n")
            self.paragraph(f"```{_language(element)}\n{code}\n```" if code.strip() else "")
        elif tag in ("ul", "ol", "menu", "dir"):
            self._list(element, depth, "")
        elif tag == "table":
            self._table(element, depth)
        elif tag == "dl":
            self._definitions(element, depth)
        else:
            if "footnotes" in (element.get("id") or "") and tag == "section":
                self.outline = HeadingPath()  # notes belong to the document, not to its last section
            self._children(element, depth)

    def _flush(self) -> None:
        line, self._line = self._line, []
        self.paragraph(self._runs(line))

    def _inline(self, element: Any, joint: str = "\n") -> str:
        return " ".join(self._runs([element]).split()) if joint == " " else self._runs([element])

    def _runs(self, runs: list[Any]) -> str:
        return clean(inline(runs, links=self._links)) if runs else ""

    def _table(self, element: Any, depth: int) -> None:
        written = table_text(element, self._cell)
        if written is None:  # a table for the looks of the page
            self._children(element, depth)
        else:
            for part in written:
                self.paragraph(part)

    def _cell(self, cell: Any) -> str:
        """A list of one item in a cell is no list."""
        text = self._inline(cell, " ")
        return text[2:] if text.startswith("- ") and " - " not in text[2:] else text

    def _definitions(self, element: Any, depth: int) -> None:
        for child in element.iter("dt", "dd"):
            if next(child.iterancestors("dl")) is not element:
                continue
            if child.tag == "dd" and not _holds_blocks_below(child):
                text = self._inline(child, " ")
                self.composer.add(f": {text}" if text else "", self._place(), gap="\n")
            else:
                self._children(child, depth + 1)
                self._flush()

    def _list(self, element: Any, depth: int, indent: str) -> None:
        """Items on lines of their own, inner lists indented; other blocks within an item follow it."""
        number = _start(element)
        first = not indent
        for item in element:
            if not isinstance(item.tag, str) or is_hidden(item):
                continue
            if item.tag in ("ul", "ol"):  # an inner list outside of any item: common, though not allowed
                self._list(item, depth + 1, indent + "  ")
                continue
            mark = f"{number}. " if element.tag == "ol" else "- "
            number += 1
            self._item(item, depth + 1, indent, mark, "\n\n" if first else "\n")
            first = False

    def _item(self, item: Any, depth: int, indent: str, mark: str, gap: str) -> None:
        runs: list[Any] = [item.text or ""]
        lead = indent + mark

        def written() -> None:
            nonlocal runs, lead, gap
            text = self._runs(runs)
            runs = []
            if text:
                text = text.replace("\n", "\n" + " " * len(lead))
                self.composer.add(lead + text, self._place(), gap=gap)
                lead, gap = " " * len(lead), "\n"

        for child in _unwrapped(item):
            if isinstance(child, str):
                runs.append(child)
            elif child.tag in ("ul", "ol", "menu", "dir") and depth < _MAX_DEPTH:
                written()
                self._list(child, depth + 1, indent + "  ")
                gap = "\n"
            elif child.tag in ("pre", "table", "dl", "blockquote"):
                written()
                self._child(child, depth)
                gap = "\n"
            elif child.tag in BLOCKS:
                written()
                runs.append(child)
                written()
            else:
                runs.append(child)
        written()


def _language(pre: Any) -> str:
    """Of a block of code, as pandoc ("sourceCode python") and most web pages ("language-python") say it."""
    names = " ".join(each.get("class") or "" for each in (pre, *pre.iterchildren("code")))
    found = re.search(r"(?:lang(?:uage)?-|sourceCode )([\w+#]+)", names)
    return found.group(1) if found else ""


def _unwrapped(item: Any) -> list[Any]:
    """An item's texts and elements in order; what stands in plain wrappers (p, div) with blocks is taken out."""
    parts: list[Any] = []
    for child in item:
        if isinstance(child.tag, str) and child.tag not in SKIPPED and not is_hidden(child):
            if child.tag in ("div", "section", "span", "p", "label") and _holds_blocks_below(child):
                parts += [child.text or "", *_unwrapped(child)]
            else:
                parts.append(child)
        parts.append(child.tail or "")
    return parts


def _start(element: Any) -> int:
    start = element.get("start", "1").strip()
    return int(start[:9]) if start[:9].isdecimal() else 1


def _holds_blocks(element: Any) -> bool:
    return element.tag in BLOCKS or _holds_blocks_below(element)


def _holds_blocks_below(element: Any) -> bool:
    return any(child.tag in BLOCKS for child in element.iterdescendants())
