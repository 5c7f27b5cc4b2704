"""HTML pages, read with lxml."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from ingest.html_blocks import HtmlWriter
from ingest.parsed import Parsed
from ingest.plain import clean, decode
from rag.errors import SourceCorrupt

_DECLARED = re.compile(rb"<(?:meta[^>]*charset|\?xml[^>]*encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def parse_html(data: bytes, name: str) -> Parsed:
    declared = _DECLARED.search(data, 0, 4096)
    text = decode(data, name, declared.group(1).decode("ascii", "replace") if declared else None)
    tree = html_tree(text)
    writer = HtmlWriter()
    title = ""
    if tree is not None:
        title = clean(next((each.text or "" for each in tree.iter("title")), ""), " ")
        write_tree(writer, tree, name)
    return writer.finish(PurePosixPath(name).name, title)


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
