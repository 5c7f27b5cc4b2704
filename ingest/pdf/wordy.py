"""Tables of words in a PDF page: rows whose cells begin at the same places, below each other.

Columns of prose are told from them by their first cells, which are long, and lists by theirs, which are numbers or
bullets.
"""

from __future__ import annotations

import re
from statistics import median

from ingest.pdf.cells import Cell, Row

# In heights of a line: cells of one column begin within the first; lines of one cell and rows of one table follow
# each other within the others.
_ALIGNED, _TIGHT, _MAX_STEP = 0.35, 1.35, 3.2
_MIN_ROWS, _MIN_GAP = 3, 1.5
# Words: of a cell in the first column, at most, and of a cell in the others, in the middle.
_MAX_LABEL, _MAX_CELL = 8, 12
_MARK = re.compile(r"[•▪◦●■○*·\-–—]|\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})[.):]?|\d+(?:\.\d+)+\.?|[☐☒☑✓]")


def wordy_runs(laid: list[Row], taken: set[int]) -> list[tuple[int, int]]:
    """From the first row of a table of words to behind its last; ``taken`` are rows of other tables."""
    found: list[tuple[int, int]] = []
    index = 0
    while index < len(laid):
        end = _end(laid, index, taken)
        if _is_table(laid[index:end]):
            found.append((index, end))
            index = end
        else:
            index += 1
    return found


def wordy_rows(body: list[Row]) -> list[list[str]]:
    """The cells' text; lines of one cell are joined."""
    starts = _starts(body[0])
    made: list[list[str]] = []
    above: Row | None = None
    for row in body:
        columns = [_column(starts, cell, row.height) or 0 for cell in row.cells]
        goes_on = above is not None and above.y - row.y <= _TIGHT * row.height and (columns[0] > 0)
        if not goes_on:
            made.append([""] * len(starts))
        for column, cell in zip(columns, row.cells, strict=True):
            made[-1][column] = f"{made[-1][column]} {cell.text}".strip()
        above = row
    return made


def _starts(row: Row) -> list[float]:
    return [cell.left for cell in row.cells]


def _column(starts: list[float], cell: Cell, height: float) -> int | None:
    return next((i for i, left in enumerate(starts) if abs(cell.left - left) <= _ALIGNED * height), None)


def _end(laid: list[Row], start: int, taken: set[int]) -> int:
    """Behind the last row that may belong to the table which begins with ``start``."""
    first = laid[start]
    if len(first.cells) < 2 or start in taken:
        return start
    starts = _starts(first)
    end = index = start + 1
    while index < len(laid) and index not in taken:
        row, above = laid[index], laid[index - 1]
        columns = [_column(starts, cell, first.height) for cell in row.cells]
        step = (above.y - row.y) / min(row.height, above.height)
        if None in columns or step > _MAX_STEP or (columns == [0] and step > _TIGHT):
            break
        # A single cell in the first column may be the next paragraph.
        if len(row.cells) > 1 or columns != [0]:
            end = index + 1
        index += 1
    return end


def _is_table(body: list[Row]) -> bool:
    whole = [row for row in body if len(row.cells) > 1]
    if len(whole) < _MIN_ROWS:
        return False
    # The file has tables row by row, and columns of prose one after the other.
    if median(max(row.lines) - min(row.lines) + 1 - len(row.lines) for row in whole) > 1:
        return False
    labels = [row.cells[0] for row in whole]
    others = [len(cell.words) for row in whole for cell in row.cells[1:]]
    marks = sum(bool(_MARK.fullmatch(cell.text)) for cell in labels)
    # Two columns that nearly touch are lines with a tab, such as those of code.
    gap = min(row.cells[1].left - row.cells[0].right for row in whole) / body[0].height
    if len(body[0].cells) == 2 and gap < _MIN_GAP:
        return False
    return (
        max(len(cell.words) for cell in labels) <= _MAX_LABEL
        and median(others) <= _MAX_CELL
        and 2 * marks < len(labels)
    )
