"""What the index sees of a passage, for its vector and for its words. Pure.

The model reads the text as it is; the index sees where it stands too, and not all that stands there. Measured with
all-MiniLM-L6-v2 (docs/log.md): the file's name and the nearest heading in front raise page recall, the whole path
lowers it; the figures of a table drown its labels.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from rag.types import Document, Passage

# Part of a document's revision: raise it whenever the same passage is indexed otherwise.
INDEXING_VERSION = "3"

_FIGURE = re.compile(r"[\s$€£¥(%–—-]*[\d.,]*[\s)%x]*")
_YEAR = re.compile(r"(?:19|20)\d\d")
_RULE = re.compile(r"[\s:-]*")
# A word that is several: getValue, FY2017, HTTPServer. The engine itself parts words at underscores.
_WORD = re.compile(r"[^\W_]+")
_COMPOUND = re.compile(r"[a-z][A-Z]|[A-Za-z]\d|\d[A-Za-z]|[A-Z]{2}[a-z]")
_LONGEST = 64  # characters; what is longer is data
_ABOUT = 160  # characters; the passage itself is to be seen
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def name(document: Document) -> str:
    """The file's name as words, and the title where it says more: ``ACME 2022 10K: Annual report``."""
    file, title = PurePosixPath(document.name), document.title
    words = file.stem.replace("_", " ")
    if title.casefold() in ("", file.name.casefold(), words.casefold()):
        return words
    return title if words.casefold() in title.casefold() else f"{words}: {title}"


def dense_text(document: Document, passage: Passage) -> str:
    """What is embedded: name, sheet, nearest heading, and the text with the words of its tables alone; of code the
    qualified name, and what a later passage of a function goes on with."""
    if document.code:
        return "\n".join((*_of_code(document, passage), passage.text))
    sheet = (passage.sheet,) if passage.sheet else ()
    head = " > ".join((name(document), *sheet, *passage.section[-1:]))
    lines = (_labels(line) if line.startswith("|") else line for line in passage.text.split("\n"))
    return "\n".join((head, *(line for line in lines if line is not None)))


def sparse_text(document: Document, passage: Passage) -> str:
    """What is weighted for BM25: name, sheet, the whole heading path and the text, compounds with their parts; of
    code the same head as the vector's, and what says in a sentence what it does counts twice (docs/log.md)."""
    if document.code:
        return parted("\n".join(filter(None, (*_of_code(document, passage), passage.text, passage.doc))))
    sheet = (passage.sheet,) if passage.sheet else ()
    return parted("\n".join((" > ".join((name(document), *sheet, *passage.section)), passage.text)))


def _of_code(document: Document, passage: Passage) -> tuple[str, ...]:
    """``flask.app Config from_prefixed_env``. That name's words apart, for the vector, cost retrieval (docs/log.md)."""
    file = name(document)
    names = " ".join((file, *passage.section)) if file else ""  # what has no file begins with its name
    return tuple(filter(None, (names, passage.about[:_ABOUT])))


def parted(text: str) -> str:
    """The text followed by the parts of its compound words, so that ``FY2017`` meets ``2017``."""
    compounds = (w for w in _WORD.findall(text) if len(w) <= _LONGEST and _COMPOUND.search(w))
    return " ".join((text, *(part for word in compounds for part in _PART.findall(word))))


def _labels(row: str) -> str | None:
    """The cells of a Markdown table's row that are no figures, years apart; None where nothing is left."""
    cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
    kept = [cell for cell in cells if not _RULE.fullmatch(cell) and not _is_figure(cell)]
    return " ".join(kept) or None


def _is_figure(cell: str) -> bool:
    return _FIGURE.fullmatch(cell) is not None and not _YEAR.fullmatch(cell)
