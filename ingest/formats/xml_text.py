"""XML: articles (JATS, DocBook) and feeds as documents, drawings (SVG) by their words, all else as it is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from ingest.formats.html_blocks import HtmlWriter
from ingest.formats.pandoc import parse_docbook, parse_jats
from ingest.formats.plain import clean, decode, parse_plain
from ingest.formats.web import XML_DECLARATION, html_tree, parse_html, write_tree
from ingest.parsed import Parsed, Region

_ROOT = re.compile(r"<(?!\?|!)(?:[\w.-]+:)?([\w.-]+)([^>]*)>")
_DECLARED = re.compile(rb"^\s*<\?xml[^>]*encoding\s*=\s*[\"']([\w.:-]+)")
_DOCBOOK = {"book", "chapter", "article", "refentry", "section", "set", "part"}
# What a feed says of an entry, beside its text.
_ABOUT = ("creator", "author", "pubDate", "published", "updated", "date", "link")
# How far the root element may stand from the start, in characters.
_HEAD = 20_000


def parse_xml(data: bytes, name: str) -> Parsed:
    """By the root element. XML of no known vocabulary is data, and kept character for character."""
    declared = _DECLARED.search(data[:200])
    text = decode(data, name, declared.group(1).decode("ascii") if declared else None)
    body = XML_DECLARATION.sub("", text)  # it names an encoding, and the text is decoded by now
    found = _ROOT.search(text[:_HEAD])
    kind, attributes = (found.group(1).lower(), found.group(2)) if found else ("", "")
    head = text[:_HEAD]
    if kind == "article" and ("JATS" in head or "<front" in head or "NLM//DTD" in head):
        return _article(body, name)
    if kind in _DOCBOOK and ("docbook" in attributes.lower() or "DocBook" in head):
        return parse_docbook(body.encode(), name)
    if kind in ("rss", "feed", "rdf") and (root := _tree(body)) is not None:
        return _feed(root, name)
    if kind == "svg" and (root := _tree(body)) is not None:
        return _drawing(root, name)
    return parse_html(body.encode(), name) if kind == "html" else parse_plain(text.encode(), name)


def _article(text: str, name: str) -> Parsed:
    """pandoc takes the references for data to cite from, and does not write them."""
    parsed = parse_jats(text.encode(), name)
    root = _tree(text)
    lines = [] if root is None else [_reference(each) for each in root.iter("{*}ref")]
    lines = [line for line in lines if line and line not in parsed.text]
    if not lines:
        return parsed
    joined = "\n\n# References\n\n" + "\n".join(lines)
    place = Region(len(parsed.text) + 2, ("References",))
    return replace(parsed, text=parsed.text + joined, regions=(*parsed.regions, place))


def _reference(element: Any) -> str:
    label = clean(element.findtext("{*}label") or "", " ").rstrip(".")
    words = []
    for citation in element.iter(
        "{*}mixed-citation", "{*}element-citation", "{*}nlm-citation", "{*}citation"
    ):
        # The parts of an element-citation stand without blanks between them.
        joint = "" if citation.tag.endswith("mixed-citation") else " "
        words.append(clean(joint.join(citation.itertext()), " "))
    return f"{label}. {' '.join(words)}".removeprefix(". ")


def _tree(text: str) -> Any:
    import lxml.etree  # type: ignore[import-untyped]

    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    return lxml.etree.fromstring(text.encode(), parser)


def _feed(root: Any, name: str) -> Parsed:
    """RSS and Atom: a section for each entry."""
    writer = HtmlWriter(links=True)
    channel = next(root.iter("{*}channel"), root)
    writer.heading(1, _said(channel, "title") or name)
    writer.paragraph(_said(channel, "description") or _said(channel, "subtitle"))
    for entry in root.iter("{*}item", "{*}entry"):
        writer.heading(2, _said(entry, "title") or "Entry")
        about = (
            _said(entry, kind)
            for kind in ("creator", "author", "pubDate", "published", "updated", "date", "link")
        )
        writer.paragraph("\n".join(dict.fromkeys(line for line in about if line)))
        for kind in ("description", "summary", "encoded", "content"):
            for body in entry.iterfind(f"{{*}}{kind}"):
                tree = html_tree("".join(body.itertext()))
                if tree is not None:
                    write_tree(writer, tree, name)
    return writer.finish(name)


def _said(element: Any, kind: str) -> str:
    found = element.find(f"{{*}}{kind}")
    return "" if found is None else clean(" ".join(found.itertext()) or found.get("href", ""), " ")


def _drawing(root: Any, name: str) -> Parsed:
    writer = HtmlWriter()
    for each in root.iter("{*}title", "{*}desc", "{*}text"):
        writer.paragraph(clean("".join(each.itertext()), " "))
    return writer.finish(name)
