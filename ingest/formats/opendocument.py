"""ODT and ODP: the content of an OpenDocument file as HTML elements, which the writer of web pages then writes.

(pandoc reads ODT, too, but drops nested tables, comments and cells beside merged ones, and knows no ODP.)
ODS is read with the spreadsheets. OASIS OpenDocument 1.3, part 3.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from ingest.formats.html_blocks import HtmlWriter
from ingest.formats.web import write_tree
from ingest.parsed import Parsed
from rag.errors import SourceCorrupt

# What becomes what; an element that is not named is passed through to what is in it.
_TAGS = {
    "p": "p", "list": "ul", "list-item": "li", "list-header": "li", "table": "table", "table-row": "tr",
    "table-cell": "td", "a": "a", "line-break": "br", "text-box": "div", "frame": "div", "custom-shape": "div",
    "rect": "div", "ellipse": "div", "span": "span", "notes": "div",
}  # fmt: skip
_SKIPPED = {
    *"forms tracked-changes sequence-decls variable-decls user-field-decls covered-table-cell table-column".split(),
    *"event-listeners image object object-ole plugin bookmark date-time-decl header-decl footer-decl".split(),
    *"page-thumbnail settings scripts font-face-decls automatic-styles index-title-template".split(),
}
# A part larger than this, in bytes, is no text that a person wrote.
_MAX_PART = 200 * 2**20
# Repeated blanks, rows and cells: a number may be a mistake, or an attack.
_MAX_BLANKS, _MAX_REPEATED = 1000, 100
_MAX_DEPTH = 200
_HREF = "{http://www.w3.org/1999/xlink}href"


def parse_odt(data: bytes, name: str) -> Parsed:
    content, styles = _part(data, "content.xml", name), _part(data, "styles.xml", name, needed=False)
    writer = HtmlWriter(links=True)
    write_tree(writer, _converted(content.iterfind("{*}body/{*}text/*"), _Styles(content, styles)), name)
    for line in _margins(styles):
        writer.note(line)
    return writer.finish(PurePosixPath(name).name)


def parse_odp(data: bytes, name: str) -> Parsed:
    """A slide is a page."""
    content = _part(data, "content.xml", name)
    writer = HtmlWriter(links=True)
    named = _Styles(content)
    slides = content.findall("{*}body/{*}presentation/{*}page")
    for number, slide in enumerate(slides, start=1):
        writer.start_page(number)
        write_tree(writer, _converted(_ordered(slide), named), name)
    return writer.finish(PurePosixPath(name).name, pages=len(slides))


def _part(data: bytes, part: str, name: str, *, needed: bool = True) -> Any:
    import lxml.etree  # type: ignore[import-untyped]

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if not needed and part not in archive.namelist():
                return None
            if archive.getinfo(part).file_size > _MAX_PART:
                raise ValueError(f"{part} holds more than {_MAX_PART:,} bytes")
            parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True)
            return lxml.etree.fromstring(archive.read(part), parser)
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        OSError,
        SyntaxError,
        zlib.error,
    ) as exc:
        # lxml's XMLSyntaxError is a SyntaxError; zipfile's RuntimeError means a password.
        raise SourceCorrupt(
            f"{name} cannot be read as OpenDocument ({type(exc).__name__}: {str(exc)[:200]}).",
            "Open it in LibreOffice; if that works, save it again, without a password.",
        ) from exc


class _Styles:
    """What the names of styles mean: a title, raised letters, numbered lists (by level)."""

    def __init__(self, *parts: Any) -> None:
        self.titles, self.raised = {"Title"}, set[str]()
        self.numbered: dict[str, set[int]] = {}
        for part in parts:
            for style in part.iter("{*}style", "{*}list-style") if part is not None else ():
                self._add(style, _attribute(style, "name"))

    def _add(self, style: Any, name: str) -> None:
        if _attribute(style, "parent-style-name") == "Title":
            self.titles.add(name)
        for properties in style.iterfind("{*}text-properties"):
            position = _attribute(properties, "text-position")
            if position.startswith("super") or (position[:1].isdigit() and position[:2] != "0%"):
                self.raised.add(name)
        for level in style.iterfind("{*}list-level-style-number"):
            if _attribute(level, "num-format"):
                self.numbered.setdefault(name, set()).add(_number(level, "level", 10))

    def list_tag(self, source: Any) -> str:
        """An inner list has the style of the outermost one, unless it names its own."""
        above = [source, *source.iterancestors("{*}list")]
        style = next(filter(None, (_attribute(each, "style-name") for each in above)), "")
        return "ol" if len(above) in self.numbered.get(style, ()) else "ul"


def _converted(elements: Iterable[Any], styles: _Styles) -> Any:
    import lxml.html  # type: ignore[import-untyped]

    root = lxml.html.Element("div")
    for element in elements:
        _convert(element, root, styles, 0)
    return root


def _convert(source: Any, parent: Any, styles: _Styles, depth: int) -> None:
    kind = _kind(source)
    if not kind or kind in _SKIPPED:
        return
    if depth > _MAX_DEPTH:
        _append_text(parent, " ".join(source.itertext()))
        return
    made = _element(source, kind, parent, styles)
    if made is None:
        return
    _append_text(made, source.text)
    for child in source:
        for _ in range(_repeated(child)):
            _convert(child, made, styles, depth + 1)
        _append_text(made, child.tail)


def _element(source: Any, kind: str, parent: Any, styles: _Styles) -> Any:
    """The element to fill; None for one that has no content of its own."""
    style = _attribute(source, "style-name")
    if kind in ("s", "tab"):
        return _append_text(parent, " " * (_number(source, "c", _MAX_BLANKS) if kind == "s" else 1))
    if kind == "p" and style in styles.titles:
        return _sub(parent, "h1")
    if kind == "h":
        return _sub(parent, f"h{_number(source, 'outline-level', 6)}")
    if kind == "frame" and _attribute(source, "class") == "title":
        return _sub(parent, "h1")
    if kind == "desc":
        _sub(parent, "img", alt="".join(source.itertext()))
        return None
    if kind in ("note", "annotation"):
        return _append_text(parent, _aside(source, kind))
    if kind == "title":
        return None
    if kind == "span" and style in styles.raised:
        return _sub(parent, "sup")
    if kind not in _TAGS:
        return parent
    made = _sub(parent, styles.list_tag(source) if kind == "list" else _TAGS[kind])
    _lead(source, kind, made)
    return made


def _lead(source: Any, kind: str, made: Any) -> None:
    """Attributes, and words that say what a part is."""
    if kind == "a":
        made.set("href", source.get(_HREF, ""))
    elif kind == "table-cell":
        made.set("colspan", _attribute(source, "number-columns-spanned") or "1")
        made.set("rowspan", _attribute(source, "number-rows-spanned") or "1")
    elif kind == "notes" and "".join(source.itertext()).strip():
        _append_text(made, "Notes: ")


def _aside(source: Any, kind: str) -> str:
    """A footnote or a comment, within the line that it belongs to."""
    if kind == "note":
        said, words = "note", source.iterfind("{*}note-body")
    else:
        author = source.findtext("{*}creator") or ""
        said, words = f"comment{' by ' if author else ''}{author}", source.iterfind("{*}p")
    text = " ".join(" ".join(" ".join(each.itertext()) for each in words).split())
    return f" [{said}: {text}] " if text else ""


def _sub(parent: Any, tag: str, **attributes: str) -> Any:
    import lxml.etree

    return lxml.etree.SubElement(parent, tag, **attributes)


def _append_text(element: Any, text: str | None) -> None:
    if not text:
        return
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def _margins(styles: Any) -> list[str]:
    """Headers and footers of pages, each once."""
    found: dict[str, None] = {}
    for page in styles.iter("{*}master-page") if styles is not None else ():
        for part in page:
            text = " ".join(" ".join(part.itertext()).split())
            if _kind(part).startswith(("header", "footer")) and re.search(r"[^\W\d_]", text):
                found.setdefault(f"Page {_kind(part)[:6]}: {text}")
    return list(found)


def _ordered(slide: Any) -> list[Any]:
    """The title first, the notes last; the rest from top to bottom."""

    def key(shape: Any) -> tuple[int, float]:
        place = 0 if _attribute(shape, "class") == "title" else 2 if _kind(shape) == "notes" else 1
        top = re.match(r"-?[\d.]+", _attribute(shape, "y"))
        return place, round(float(top.group())) if top and place == 1 else 0.0

    return sorted(slide, key=key)


def _kind(element: Any) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _attribute(element: Any, name: str) -> str:
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _number(element: Any, name: str, most: int) -> int:
    value = _attribute(element, name)
    return max(1, min(int(value), most)) if value[:6].isdecimal() else 1


def _repeated(element: Any) -> int:
    if _kind(element) == "table-cell":
        return _number(element, "number-columns-repeated", _MAX_REPEATED)
    return _number(element, "number-rows-repeated", _MAX_REPEATED) if _kind(element) == "table-row" else 1
