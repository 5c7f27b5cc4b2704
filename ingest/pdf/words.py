"""The words of a PDF page with their places, in lines as PDFium finds them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ingest.pdf.boxes import Boxes, direction, places, turned

# Where a line ends in a hyphen and the next goes on with a letter, PDFium puts U+FFFE (older builds U+0002) in
# place of the hyphen and the line break.
_HYPHENS = "\ufffe\x02"
_WORD = re.compile(rf"[^\s\0{_HYPHENS}]*[{_HYPHENS}]|[^\s\0{_HYPHENS}]+")
_LINE = re.compile(rf"[^\s\0{_HYPHENS}](?:[^\r\n{_HYPHENS}]*[^\s{_HYPHENS}])?[{_HYPHENS}]?|[{_HYPHENS}]")
# A line of running text has at least so many words, ends in none of these characters, is not much shorter than the
# page's longest, and not wider per character than this: in heights of a line, and in widths of the others.
_FEW_WORDS, _AMOUNT_ENDS, _FULL, _WIDE, _USUAL = 8, frozenset("0123456789)%-–—−$"), 0.7, 0.52, 1.1
_CLOSE = 1.4  # between its baselines, in heights
# Not text, wherever it stands: controls, noncharacters, halves of a character, marks without width.
_RARE = re.compile(
    r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff\uf06c-\uf0d8]"
)
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff\ud800-\udfff]+")
# Bullets of the fonts Symbol and Wingdings, which mean nothing as characters.
_BULLETS = str.maketrans(dict.fromkeys("\uf0b7\uf0a7\uf0d8\uf076\uf06e\uf06c", "•"))

# Where more of a page is this, its fonts say what to draw and not what it means.
_NO_MEANING = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\uffff\ud800-\udfff\ue000-\uf06b\uf0d9-\uf8ff]")
_MAX_NO_MEANING = 0.3

# Words of one line differ by less than this in their baselines, in heights: superscripts do not begin a line.
_SAME_LINE = 0.6
# Where a gap parts them, they differ by less than this; a wider gap than this, in heights, is more than a space.
_SAME_ROW = 0.25
_SPACE = 0.5


@dataclass(slots=True)
class Words:
    """Words that stand beside each other, each from its left edge to its right one."""

    words: list[str]
    lefts: list[float]
    rights: list[float]

    @property
    def left(self) -> float:
        return self.lefts[0]

    @property
    def right(self) -> float:
        return self.rights[-1]

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(slots=True)
class Line(Words):
    """Words on one baseline, each from its ``lefts`` to its ``rights``, in points: those of ``running`` text have
    the line's own edges. ``y``: the baseline, rising upwards. ``height``: of the font, about 1.2 times its size.
    ``start``: the index of the first character in PDFium's text."""

    y: float
    height: float
    start: int = 0
    running: bool = False
    bold: bool = False


@dataclass(slots=True)
class Page:
    """``number`` counts from 1. ``lines`` are in the order of the file, which most often is that of reading.
    ``is_picture``: its text, if any, is in its image."""

    number: int
    lines: list[Line] = field(default_factory=list)
    is_picture: bool = False


def clean(text: str) -> str:
    """One line, without what is no text."""
    return " ".join(_NO_TEXT.sub("", text).split())


def read_words(page: Any, number: int) -> Page:
    """The words of a pypdfium2 page, upright however the page or its text is turned. Raises PdfiumError."""
    textpage = page.get_textpage()
    try:
        text = textpage.get_text_range(errors="surrogatepass")
        if _NO_MEANING.search(text) and _is_meaningless(text):
            return Page(number, is_picture=True)
        lines = _lines(text, Boxes(textpage, text), page.get_rotation())
    finally:
        textpage.close()
    return Page(number, _cleaned(lines) if _RARE.search(text) else lines)


def _is_meaningless(text: str) -> bool:
    return len(_NO_MEANING.findall(text)) > _MAX_NO_MEANING * len("".join(text.split()))


def _lines(text: str, boxes: Boxes, rotation: int) -> list[Line]:
    """Lines that may be of tables are looked at word by word; of running text, half of all lines, only the ends."""
    found = [
        (match.start(), match.end() - 1, match[0].split())
        for match in _LINE.finditer(text)
        if not match[0].isspace()
    ]
    if not found:
        return []
    ends = boxes([index for start, end, _ in found for index in (start, end)])
    turn = direction(ends, rotation)
    lefts, rights, ys, heights = places(turned(ends, turn))
    made: list[Line] = []
    parts: list[tuple[int, int]] = []
    running = _running(found, [right - left for left, right in zip(lefts, rights, strict=True)], ys, heights)
    for index, (start, end, words) in enumerate(found):
        if index in running:
            edges = [lefts[index]] * len(words), [rights[index]] * len(words)
            made.append(Line(words, *edges, ys[index][0], heights[index], start, running=True))
        else:
            parts.append((start, end + 1))
    if parts:
        made = sorted([*made, *_words(text, boxes, parts, turn)], key=lambda line: line.start)
    return made


def _running(
    found: list[tuple[int, int, list[str]]], widths: list[float], ys: list[list[float]], heights: list[float]
) -> set[int]:
    """Which lines are running text: long, as wide as their characters are, and closely below each other."""
    full = _FULL * max(widths)
    pitches = {
        index: widths[index] / (end - start + 1)
        for index, (start, end, words) in enumerate(found)
        if len(words) >= _FEW_WORDS
        and words[-1][-1] not in _AMOUNT_ENDS
        and widths[index] >= full
        and abs(ys[index][0] - ys[index][1]) < _SAME_ROW * heights[index]
    }
    if not pitches:
        return set()
    usual = _USUAL * median(pitches.values())
    return {
        index
        for index, pitch in pitches.items()
        if pitch < min(usual, _WIDE * heights[index])
        # One alone may be a row of words.
        and any(
            other in pitches and abs(ys[other][0] - ys[index][0]) < _CLOSE * heights[index]
            for other in (index - 1, index + 1)
        )
    }


def _words(text: str, boxes: Boxes, parts: list[tuple[int, int]], turn: int) -> list[Line]:
    """The lines that stand between these indexes of the text, each word with its own place."""
    spans = [
        (m.start(), m.end(), rank) for rank, part in enumerate(parts) for m in _WORD.finditer(text, *part)
    ]
    words = [text[start:end] for start, end, _ in spans]
    lefts, rights, ys, heights = places(
        turned(boxes([i for start, end, _ in spans for i in (start, end - 1)]), turn)
    )
    made: list[Line] = []
    begin = 0
    for index in range(1, len(words) + 1):
        if index < len(words) and spans[index][2] == spans[index - 1][2]:
            high = heights[index]
            step = abs(ys[index][0] - ys[index - 1][0])
            if step <= _SAME_ROW * high:
                continue
            high = max(high, heights[index - 1])
            gap = lefts[index] - rights[index - 1]
            # Cells of a row may be centred on different heights; a footnote's mark follows its word closely.
            beside = step > _SAME_ROW * high and (gap > _SPACE * high or gap < -high)
            if step <= _SAME_LINE * high and not beside:
                continue
        # A footnote's mark at the beginning says nothing about the line.
        first = begin + 1 if index - begin > 1 and heights[begin + 1] > 1.15 * heights[begin] else begin
        line = slice(begin, index)
        bold = index - begin <= _FEW_WORDS + 4 and boxes.are_bold([spans[begin][0], spans[index - 1][1] - 1])
        made.append(
            Line(
                words[line],
                lefts[line],
                rights[line],
                ys[first][0],
                heights[first],
                spans[begin][0],
                bold=bold,
            )
        )
        begin = index
    return made


def _cleaned(lines: list[Line]) -> list[Line]:
    """Without what is no text, and with hyphens for PDFium's marks."""
    kept: list[Line] = []
    marked = False
    for line in lines:
        ends = [word[-1] in _HYPHENS for word in line.words]
        words = [
            _NO_TEXT.sub("", word).translate(_BULLETS) + "-" * end
            for word, end in zip(line.words, ends, strict=True)
        ]
        if not all(words):
            there = [index for index, word in enumerate(words) if word]
            line.lefts = [line.lefts[index] for index in there]
            line.rights = [line.rights[index] for index in there]
            words = [words[index] for index in there]
        line.words = words
        last = kept[-1] if kept else None
        if (
            marked
            and last
            and words
            and abs(last.y - line.y) < _SAME_ROW * line.height
            and line.left >= last.left
        ):
            # The mark stands within a line: a hyphen like any other.
            last.words = [*last.words[:-1], last.words[-1] + words[0], *words[1:]]
            last.lefts += line.lefts[1:]
            last.rights = [*last.rights[:-1], *line.rights]
        elif words:
            kept.append(line)
        marked = ends[-1]
    return kept
