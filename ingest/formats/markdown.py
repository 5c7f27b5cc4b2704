"""Markdown: the file's own text, with sections from its headings.

markdown-it-py gives each heading's lines in the file (``token.map``), so offsets and lines of a citation are
those of the file. unstructured turns Markdown into HTML first and so loses them.
"""

from __future__ import annotations

import itertools
import re

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.formats.headings import Heading, heading_regions
from ingest.formats.plain import decode
from ingest.parsed import Parsed, join_bare

# YAML between two lines of dashes at the top of the file; CommonMark would read it as a heading.
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)

_MAX_FRONT = 20_000  # characters

_INLINE = MarkdownIt("commonmark")
# Emphasis and links of the body are not needed, and parsing them takes most of the time.
_BLOCKS = MarkdownIt("commonmark")
_BLOCKS.core.ruler.enableOnly(["normalize", "block"])


def parse_markdown(data: bytes, name: str) -> Parsed:
    text = decode(data, name)
    front = _FRONT_MATTER.match(text)
    offset = front.end() if front else 0
    headings = _headings(text, offset)
    regions, bare = heading_regions(text, headings, offset)
    fields = _fields(front.group(1)) if front else {}
    named = _FRONT_TITLE.search(front.group(1)) if front else None
    top = next((title for _, _, level, title in headings if level == 1), "")
    return Parsed(
        text, (named.group(2) if named else "") or top or name, join_bare(regions, bare), fields=fields
    )


def _fields(yaml_text: str) -> dict[str, str | list[str]]:
    """Scalars and lists of them, as they are written; what is no such front matter has none."""
    try:
        # The base loader makes nothing of 1.10, yes or 2026-02-30 but text.
        found = yaml.load(yaml_text[:_MAX_FRONT], yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return {}
    return (
        {name: value for name, value in found.items() if _is_text(value)} if isinstance(found, dict) else {}
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(each, str) for each in value)
    )


def _headings(text: str, offset: int) -> list[Heading]:
    """(start, end, level, title) of each heading, offsets in ``text``; those in quotes and lists are text."""
    starts = [offset]
    for line in text[offset:].split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    tokens = _BLOCKS.parse(text[offset:])
    found = []
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            first, last = token.map
            end = min(starts[last], len(text))
            found.append((starts[first], end, int(token.tag[1:]), _plain(inline)))
    return found


def _plain(inline: Token) -> str:
    """A heading's text without its marks."""
    parsed = _INLINE.parseInline(inline.content)[0].children or []
    words = (child.content or " " for child in parsed if child.type in _TEXTS)
    return " ".join("".join(words).split())


_TEXTS = {"text", "code_inline", "softbreak", "hardbreak", "text_special"}
