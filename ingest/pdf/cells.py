"""Rows and cells: the lines of a PDF page that stand at one height put beside each other and cut at wide gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ingest.pdf.words import Line, Words

# Widths in heights of a line (about 1.2 times the font's size). A space is about 0.2, in justified text up to 0.6.
_GAP = 0.8
_GAP_OF_NUMBERS = 0.45
_GAP_OF_CURRENCY = 15.0
_GAP_OF_SIGN = 2.0
# Baselines nearer than this are of one row.
_SAME_ROW = 0.3
# A footnote's mark is lower than this share of its row's height, and raised by less than this.
_MARK, _RAISED = 0.86, 0.45
# Words that make a sentence of a line.
_SENTENCE = 9
# A line this far above the ones before it begins another column of the page.
_NEXT_COLUMN = 6.0

_DASHES = r"\-–—−‒"
_AMOUNT = re.compile(
    rf"[(\[<>~≈±+{_DASHES}]*[$€£¥]?[({_DASHES}]*\d[\d,./:'’]*(?:\(\w{{1,2}}\))?[%)\]x*†‡¢]*$"
    rf"|[{_DASHES}]+[%)]*$|[%)\]*]+$|n/?[am]\.?$|n\.m\.$",
    re.IGNORECASE,
)
_CURRENCY = re.compile(rf"[(]?[{_DASHES}]?(?:[$€£¥]|US\$|C\$|A\$|HK\$|EUR|USD|GBP|CHF)$")
_YEAR = re.compile(r"(?:19|20)\d\d[*)]?$|%$")
_CLOSING = re.compile(r"[%)\]]+$")


@dataclass(slots=True)
class Cell(Words):
    numeric: bool = False

    def part(self, start: int, end: int) -> Cell:
        return _cell(self.words, self.lefts, self.rights, start, end)


@dataclass(slots=True)
class Row:
    """Cells from left to right. ``lines``: which lines of the page it was made of."""

    cells: list[Cell]
    y: float
    height: float
    lines: list[int] = field(default_factory=list)

    @property
    def left(self) -> float:
        return self.cells[0].left

    @property
    def right(self) -> float:
        return self.cells[-1].right

    @property
    def is_data(self) -> bool:
        """Whether it has a number beside something."""
        return any(cell.numeric for cell in self.cells[1:])

    @property
    def is_amounts(self) -> bool:
        return len(self.cells) > 1 and all(cell.numeric for cell in self.cells)

    @property
    def is_years(self) -> bool:
        """Whether its only numbers are years and signs of percent: a header."""
        cells = self.cells if self.is_amounts else self.cells[1:]
        return all(_YEAR.match(word) for cell in cells if cell.numeric for word in cell.words)

    @property
    def has_sentence(self) -> bool:
        return any(len(cell.words) >= _SENTENCE + 3 for cell in self.cells)

    @property
    def is_prose(self) -> bool:
        words = self.cells[0].words
        return (len(words) >= _SENTENCE and words[-1][-1] == ".") or any(
            len(cell.words) >= _SENTENCE for cell in self.cells[1:]
        )


def regions(lines: list[Line]) -> list[list[int]]:
    """The lines of each column of the page, in the file's order. A column of numbers stays with what is beside it."""
    found: list[list[int]] = []
    for index, line in enumerate(lines):
        if not found or line.y > lines[index - 1].y + _NEXT_COLUMN * line.height:
            found.append([])
        found[-1].append(index)
    joined: list[list[int]] = []
    for region in found:
        if joined and _is_column_of_numbers([lines[index] for index in region]):
            joined[-1] += region
        else:
            joined.append(region)
    return joined


def _is_column_of_numbers(lines: list[Line]) -> bool:
    short = sum(len(line.words) <= 3 and is_numeric(line.words) for line in lines)
    return len(lines) > 2 and short >= 0.6 * len(lines)


def rows(lines: list[Line], region: list[int]) -> list[Row]:
    """From top to bottom."""
    made: list[Row] = []
    group: list[int] = []
    for index in sorted(region, key=lambda index: -lines[index].y):
        if group and not _same_row(lines[max(group, key=lambda i: lines[i].height)], lines[index]):
            made.append(_row(lines, group))
            group = []
        group.append(index)
    return [*made, _row(lines, group)] if group else made


def _same_row(one: Line, two: Line) -> bool:
    low, high = sorted((one.height, two.height))
    # A footnote's mark stands higher than its row.
    return abs(one.y - two.y) <= (_SAME_ROW * low if low > _MARK * high else _RAISED * high)


def _row(lines: list[Line], group: list[int]) -> Row:
    first = lines[max(group, key=lambda index: lines[index].height)]
    if first.running and len(group) == 1:
        return Row([Cell(first.words, first.lefts, first.rights)], first.y, first.height, group)
    if len(group) == 1:
        words, lefts, rights = first.words, first.lefts, first.rights
    else:
        boxes = [
            box for i in group for box in zip(lines[i].lefts, lines[i].rights, lines[i].words, strict=True)
        ]
        boxes.sort(key=lambda box: box[0])
        lefts, rights, words = (list(column) for column in zip(*boxes, strict=True))
    cells = cut(words, lefts, rights, first.height)
    return Row(cells, first.y, first.height, group)


def cut(words: list[str], lefts: list[float], rights: list[float], height: float) -> list[Cell]:
    """Cut where a gap is wider than between words; a sign of currency stays with its amount."""
    narrow, wide = _GAP_OF_NUMBERS * height, _GAP * height
    cells: list[Cell] = []
    begin = 0
    for index in range(1, len(words)):
        gap = lefts[index] - rights[index - 1]
        if gap < narrow:
            continue
        before, after = words[index - 1], words[index]
        if gap < wide and not (_AMOUNT.match(after) and _AMOUNT.match(before)):
            continue
        if gap < _GAP_OF_CURRENCY * height and _CURRENCY.match(before) and _AMOUNT.match(after):
            continue
        if gap < _GAP_OF_SIGN * height and _CLOSING.match(after) and _AMOUNT.match(before):
            continue
        cells.append(_cell(words, lefts, rights, begin, index))
        begin = index
    cells.append(_cell(words, lefts, rights, begin, len(words)))
    return cells


def _cell(words: list[str], lefts: list[float], rights: list[float], start: int, end: int) -> Cell:
    words = words[start:end]
    return Cell(words, lefts[start:end], rights[start:end], is_numeric(words))


def is_currency(word: str) -> bool:
    return bool(_CURRENCY.match(word))


def is_numeric(words: list[str]) -> bool:
    """Amounts, with or without currency, and what stands for one: a dash, n/a."""
    return (
        len(words) < 5
        and all(_AMOUNT.match(word) or _CURRENCY.match(word) for word in words)
        and not all(_CURRENCY.match(word) for word in words)
    )
