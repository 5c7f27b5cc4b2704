"""The first sentence of a comment or a docstring."""

from __future__ import annotations

import re

# What a comment is marked with, at the beginning of its lines or around it.
_MARKS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|\*|//[/!]?|#+!?|--+(?:\[\[)?|;+)[ \t]?|\*+/\s*$", re.MULTILINE)
_QUOTES = re.compile(r"^[a-zA-Z]{0,2}('''|\"\"\"|'|\")(.*?)\1$", re.DOTALL)
_RULE = re.compile(r"^[\W_]*$")
_TAG = re.compile(r"^\s*(?:[@\\]\w|:\w+|</?\w+>\s*$|[A-Z]\w+:\s*$)")  # @param, \brief, :param, Args:
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|approx)|\s\w)\.$")
_MARKUP = re.compile(r"</?\w+>|\{@\w+ ([^}]*)\}")


def first_sentence(comment: str, most: int) -> str:
    """At most ``most`` characters, on one line; empty where it says nothing in words."""
    quoted = _QUOTES.match(comment.strip())
    text = quoted[2] if quoted else _MARKS.sub("", comment)
    paragraph = " ".join(_first_paragraph(text))
    paragraph = " ".join(_MARKUP.sub(r"\1", paragraph).split())
    for end in _SENTENCE_END.finditer(paragraph):
        if not _ABBREVIATION.search(paragraph[: end.end()]):
            return paragraph[: end.end()][:most]
    return paragraph[:most]


def _first_paragraph(text: str) -> list[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        if _RULE.match(line) or _TAG.match(line):
            if lines:
                break
            continue
        lines.append(line.strip())
    return lines
