"""HTML pages, read with lxml."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from ingest.formats.html_blocks import HtmlWriter
from ingest.formats.plain import clean, decode
from ingest.parsed import Parsed
from rag.errors import SourceCorrupt

_DECLARED = re.compile(rb"<(?:meta[^>]*charset|\?xml[^>]*encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
# The share of a page's characters that its main content has.
_MOST = 0.4


def parse_html(data: bytes, name: str) -> Parsed:
    declared = _DECLARED.search(data, 0, 4096)
    text = decode(data, name, declared.group(1).decode("ascii", "replace") if declared else None)
    tree = html_tree(text)
    if tree is None:
        return HtmlWriter().finish(PurePosixPath(name).name)
    title = clean(next((each.text or "" for each in tree.iter("title")), ""), " ")
    parsed = _written(_main(tree), name, title, navigation=False)
    # A page may be nothing but navigation.
    return parsed if parsed.text else _written(tree, name, title, navigation=True)


def _written(tree: Any, name: str, title: str, *, navigation: bool) -> Parsed:
    writer = HtmlWriter(navigation=navigation)
    write_tree(writer, tree, name)
    return writer.finish(PurePosixPath(name).name, title)


def _main(tree: Any) -> Any:
    """What the page itself calls its main content, where that is most of it; else all. What stands around it is on
    every page of the site, as running headers are on every page of a book."""
    whole = len(tree.text_content())
    for element in tree.xpath("//main | //*[@role='main']"):
        if len(element.text_content()) > _MOST * whole:
            return element
    return tree


def html_tree(text: str) -> Any:
    """The root element, as forgiving as a browser; None where there is nothing but blanks."""
    import lxml.etree  # type: ignore[import-untyped]
    import lxml.html  # type: ignore[import-untyped]

    # The text is decoded by now, and lxml refuses text that still names an encoding.
    text = XML_DECLARATION.sub("", text)
    # libxml2 drops what is nested deeper than 256 elements, or 2048 with huge_tree; the writer refuses that.
    parser = lxml.html.HTMLParser(huge_tree=True)
    try:
        return lxml.html.document_fromstring(text, parser=parser) if text.strip() else None
    except lxml.etree.ParserError:  # only comments
        return None


def write_tree(writer: HtmlWriter, tree: Any, name: str) -> None:
    """Raises SourceCorrupt for elements nested deeper than any document's."""
    try:
        writer.write(tree)
    except RecursionError as exc:
        raise SourceCorrupt(
            f"{name} is nested too deeply to be read as a document.",
            "Open it in a browser and save it as PDF.",
        ) from exc
