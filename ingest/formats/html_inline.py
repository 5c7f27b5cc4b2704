"""Inline HTML as one line of text (or several, at line breaks), as a browser collapses its blanks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

# Digits above the line change what a number says: 10² is not 102.
_RAISED = str.maketrans("0123456789+-−()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁿ")
_RAISABLE = re.compile(r"[0-9+\-−()n]{1,6}")
SKIPPED = {
    *"head script style template noscript object iframe canvas svg audio video select datalist".split(),
}
# Elements that stand on lines of their own; all others run on in the line.
BLOCKS = {
    *"address article aside blockquote body caption center dd details dialog dir div dl dt fieldset".split(),
    *"figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu".split(),
    *"nav ol p pre search section summary table tbody td tfoot th thead tr ul".split(),
}
_BLANKS = re.compile(r"[ \t\n\r\f]+")
_AROUND_BREAK = re.compile(r"[ \t]*\v[ \t]*")
_BREAK = "\v"
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
# pandoc's spans for tracked changes.
_DELETED = {"deletion", "paragraph-deletion"}


def inline(runs: Sequence[Any], *, links: bool = False) -> str:
    """Texts and elements of one paragraph. ``links`` keeps the addresses of links as Markdown does."""
    text = "".join(piece for run in runs for piece in _pieces(run, links))
    return _AROUND_BREAK.sub("\n", _BLANKS.sub(" ", text)).strip()


def _pieces(run: Any, links: bool) -> Iterator[str]:
    if isinstance(run, str):
        yield run.replace(_BREAK, " ")
    elif isinstance(run.tag, str) and run.tag not in SKIPPED and not is_hidden(run):
        yield from _element(run, links)


def _element(element: Any, links: bool) -> Iterator[str]:
    tag, classes = element.tag, set((element.get("class") or "").split())
    if classes & _DELETED or "footnote-back" in classes:
        return
    if tag == "br":
        yield _BREAK
    elif tag == "img":
        yield _picture(element)
    elif tag == "input":
        yield _input(element)
    elif tag == "math":
        yield _formula(element)
    elif "math" in classes:  # pandoc writes TeX between \\( and \\)
        formula = "".join(element.itertext()).strip()[2:-2].strip().removesuffix("\\")
        yield f" ${formula}$ " if "display" in classes else f"${formula}$"
    elif tag == "sup":
        text = "".join(_inner(element, links))
        yield text.strip().translate(_RAISED) if _RAISABLE.fullmatch(text.strip()) else text
    elif tag == "a" and links:
        yield _link(element)
    elif "comment-start" in classes:
        author = element.get("data-author") or ""
        yield f"[comment{' by ' if author else ''}{author}: {''.join(_inner(element, links)).strip()}] "
    elif tag in BLOCKS:  # a block within a line, such as a paragraph in a table's cell
        yield " "
        yield "- " if tag == "li" else ""
        yield from _inner(element, links)
        yield " "
    else:
        yield from _inner(element, links)


def _inner(element: Any, links: bool) -> Iterator[str]:
    yield from _pieces(element.text or "", links)
    for child in element:
        yield from _pieces(child, links)
        yield from _pieces(child.tail or "", links)


def _link(element: Any) -> str:
    text = "".join(_inner(element, True))
    target = (element.get("href") or "").strip()
    named = target.removeprefix("mailto:").rstrip("/")
    if not re.match(r"(?:https?|ftp|mailto):", target) or named in text or not text.strip():
        return text
    return f"[{text.strip()}]({target})"


def _picture(element: Any) -> str:
    """The description that a picture brings along, unless it is a file's name or a single word."""
    text = " ".join((element.get("alt") or "").split())
    return f" [image: {text}] " if " " in text else ""


def _input(element: Any) -> str:
    kind = (element.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return "[x] " if element.get("checked") is not None else "[ ] "
    return "" if kind in ("hidden", "password") else element.get("value") or ""


def _formula(element: Any) -> str:
    """MathML: TeX where it is given beside it, else its characters."""
    for note in element.iter("annotation"):
        if "tex" in (note.get("encoding") or "").lower():
            return f"${(note.text or '').strip()}$"
    return "".join(element.itertext())


def is_hidden(element: Any) -> bool:
    return element.get("hidden") is not None or bool(_HIDDEN.search(element.get("style") or ""))
