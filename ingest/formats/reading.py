"""From lines of text that lie somewhere on a page to text in reading order: columns, rows, paragraphs. Pure.

A page is cut into bands from top to bottom; a band of two columns of prose is read column by column, any other
row by row, so that a receipt's item stays with its price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

# Where on the page's width the gutter between two columns may lie.
_GUTTERS = [share / 100 for share in range(20, 81)]
# A column of prose has so many rows at least, and lines so long: in heights of a line.
_MIN_ROWS = 3
_MIN_LINE = 8.0
# A gap between two lines that ends a paragraph, in heights of a line.
_PARAGRAPH = 0.8
# Two lines share a row where they overlap by so much of the lower one's height.
_SAME_ROW = 0.5


@dataclass(frozen=True, slots=True)
class Box:
    """A line of text, or a part of one, and its place in pixels from the top left corner."""

    left: float
    top: float
    right: float
    bottom: float
    text: str
    confidence: float = 1.0

    @property
    def height(self) -> float:
        return self.bottom - self.top


Row = list[Box]


def reading_order(boxes: Sequence[Box]) -> list[Row]:
    """Rows of boxes, from left to right, in the order in which a person reads them."""
    rows = _rows(boxes)
    gutter = _gutter(boxes)
    if gutter is None:
        return rows
    ordered: list[Row] = []
    band: list[Box] = []
    for row in [*rows, []]:
        if row and not any(box.left < gutter < box.right for box in row):
            band.extend(row)
            continue
        # A line across the gutter (or the end of the page) ends the band of columns.
        ordered += _columns(band, gutter)
        ordered += [row] if row else []
        band = []
    return ordered


def paragraphs(rows: Sequence[Row]) -> str:
    """One line of text a row; a blank line where the page leaves a gap or the eye jumps to another column."""
    if not rows:
        return ""
    height = median(box.height for row in rows for box in row)
    parts = [_joined(rows[0])]
    for above, row in pairwise(rows):
        gap = min(box.top for box in row) - max(box.bottom for box in above)
        near = -2 * height < gap < _PARAGRAPH * height
        parts += ["\n" if near else "\n\n", _joined(row)]
    return "".join(parts)


def _joined(row: Row) -> str:
    # Two spaces show that the parts stand apart, as the cells of a table do.
    return "  ".join(box.text.strip() for box in row)


def _rows(boxes: Sequence[Box]) -> list[Row]:
    rows: list[Row] = []
    for box in sorted(boxes, key=lambda box: box.top + box.bottom):
        if rows and _beside(rows[-1], box):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [sorted(row, key=lambda box: box.left) for row in rows]


def _beside(row: Row, box: Box) -> bool:
    last = row[-1]
    overlap = min(last.bottom, box.bottom) - max(last.top, box.top)
    return overlap > _SAME_ROW * min(last.height, box.height)


def _gutter(boxes: Sequence[Box]) -> float | None:
    """Where the fewest lines are crossed; None where too many would be."""
    if len(boxes) < 2 * _MIN_ROWS:
        return None
    left, right = min(box.left for box in boxes), max(box.right for box in boxes)
    crossed: dict[float, int] = {}
    for share in _GUTTERS:
        x = left + share * (right - left)
        crossed[x] = sum(box.left < x < box.right for box in boxes)
    fewest = min(crossed.values())
    best = [x for x, count in crossed.items() if count == fewest]
    return best[len(best) // 2] if fewest < len(boxes) / 3 else None


def _columns(band: Sequence[Box], gutter: float) -> list[Row]:
    """The band's left half before its right half, where both are prose; else its rows."""
    halves = [[box for box in band if (box.left >= gutter) is side] for side in (False, True)]
    if all(_is_prose(half) for half in halves):
        return [row for half in halves for row in reading_order(half)]
    return _rows(band)


def _is_prose(boxes: Sequence[Box]) -> bool:
    if len(boxes) < _MIN_ROWS:
        return False
    height = median(box.height for box in boxes)
    return median(box.right - box.left for box in boxes) >= _MIN_LINE * height
