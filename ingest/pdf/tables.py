"""Tables of numbers in a PDF page: rows whose amounts stand in columns below each other.

A table begins and ends with rows that hold amounts beside something; the rows above it that stand over its columns
are its header. Prose in columns has long cells and is left alone: a false table is worse than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise, takewhile
from statistics import median

from ingest.pdf.cells import Row, regions, rows
from ingest.pdf.columns import LABEL, Columns, columns_of
from ingest.pdf.header import header_rows
from ingest.pdf.words import Line
from ingest.pdf.wordy import wordy_rows, wordy_runs

# Lines of a page's column at least, and of a page at most: more are a drawing or a map.
_MIN_LINES, _MAX_LINES = 3, 3_000
# Distances in heights of a line (about 1.2 times the font's size).
_MAX_STEP = 3.2  # between baselines of a table's rows
_MAX_PAUSE = 5.0  # the same after a header, and before a part that goes on in the columns of the one above
_TIGHT = 1.35  # between baselines of the lines of one cell
_CLOSER = 0.9  # lines of one label, in steps of rows
# Rows without amounts between two with amounts, and how many of them may reach below the amounts of others.
_MAX_BETWEEN, _MAX_WIDE = 5, 2
# Words of a cell beyond the first that make prose of it, and the share of such cells in a table.
_PROSE, _MAX_PROSE = 7, 0.1

_GOES_ON = re.compile(r"(?:[,\-–]|\b(?:of|and|or|to|for|in|on|by|from|the|with|at|a))$", re.IGNORECASE)

_Line = dict[int, str]  # the text of a table's row by column


@dataclass(slots=True)
class Table:
    """``lines``: the page's lines that it was made of. ``rows``: the first is the header."""

    lines: list[int]
    rows: list[list[str]]

    @property
    def markdown(self) -> str:
        head, *body = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows
        ]
        return "\n".join([head, "| " + " | ".join(["---"] * len(self.rows[0])) + " |", *body])


def find_tables(lines: list[Line]) -> list[Table]:
    if len(lines) > _MAX_LINES:
        return []
    return [table for region in regions(lines) for table in _of_region(lines, region)]


def _of_region(lines: list[Line], region: list[int]) -> list[Table]:
    if sum(not lines[index].running for index in region) < _MIN_LINES:
        return []
    laid = rows(lines, region)
    found: list[Table] = []
    taken: set[int] = set()
    floor = 0  # rows above it belong to a table already
    for start, end in _resumed(laid, _runs(laid)):
        columns = columns_of(laid[start:end])
        if columns is None or not _is_table(laid[start:end], columns):
            continue
        begin, floor = _header_start(laid, start, floor, columns), _label_end(laid, start, end, columns)
        found.append(_table(laid[begin:floor], columns))
        taken.update(range(begin, floor))
    for start, end in wordy_runs(laid, taken):
        body = laid[start:end]
        found.append(Table([index for row in body for index in row.lines], wordy_rows(body)))
    return found


def _runs(laid: list[Row]) -> list[tuple[int, int]]:
    """What may be tables: from a row with amounts to another, through those between that may belong to them."""
    runs: list[tuple[int, int]] = []
    start = end = -1
    amounts = 0.0  # where amounts begin, from the left
    wide = 0
    for index, row in enumerate(laid):
        if start >= 0 and not _follows(laid, index, end, wide):
            runs.append((start, end))
            start = -1
        if row.is_data or row.is_amounts:
            left = min(cell.left for cell in (row.cells if row.is_amounts else row.cells[1:]) if cell.numeric)
            if start < 0:
                start, amounts = index, left
            end, amounts, wide = index + 1, min(amounts, left), 0
        elif len(row.cells) == 1 and row.right > amounts + row.height:
            wide += 1
    return [*runs, (start, end)] if start >= 0 else runs


def _resumed(laid: list[Row], runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs put together where one goes on in the columns of the one above, under a subheading at most."""
    joined = runs[:1]
    for start, end in runs[1:]:
        before, above = joined[-1][1], laid[joined[-1][1] - 1]
        between = laid[before:start]
        if (
            len(between) <= _MAX_WIDE
            and all(len(row.cells) == 1 and not row.is_prose and not row.has_sentence for row in between)
            and above.y - laid[start].y <= _MAX_PAUSE * (len(between) + 1) * above.height
            and laid[start].is_data
            and above.is_data
            and _stands_below(laid[start], above)
        ):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _follows(laid: list[Row], index: int, end: int, wide: int) -> bool:
    row, above = laid[index], laid[index - 1]
    step = (above.y - row.y) / min(row.height, above.height)
    return step <= _MAX_STEP and index - end < _MAX_BETWEEN and wide <= _MAX_WIDE and not above.is_prose


def _stands_below(row: Row, above: Row) -> bool:
    """Whether each amount stands below another: the table goes on after a gap."""
    over = [cell for cell in above.cells[1:] if cell.numeric]
    return not row.is_years and all(
        any(cell.left < other.right and cell.right > other.left for other in over)
        for cell in row.cells[1:]
        if cell.numeric
    )


def _is_table(body: list[Row], columns: Columns) -> bool:
    data = [row for row in body if row.is_data]
    if len(data) < (2 if len(columns.spans) > 1 else 3):
        return False
    beyond = [cell for row in body for cell in row.cells[1:]]
    return sum(len(cell.words) >= _PROSE for cell in beyond) <= _MAX_PROSE * len(beyond)


def _header_start(laid: list[Row], start: int, floor: int, columns: Columns) -> int:
    """The first of the rows above ``start`` that stand over the columns."""
    found = start
    for index in range(start - 1, floor - 1, -1):
        row, below = laid[index], laid[index + 1]
        step = (row.y - below.y) / min(row.height, below.height)
        if (
            step > (_MAX_STEP if len(row.cells) == 1 else _MAX_PAUSE)
            or start - index > 2 * _MAX_BETWEEN
            or row.has_sentence
        ):
            break
        if row.left >= columns.spans[0][0] - 1.5 * row.height or len(row.cells) > 1:
            found = index
        elif row.right > columns.spans[0][0]:
            break
    return found


def _label_end(laid: list[Row], start: int, end: int, columns: Columns) -> int:
    """After the rest of the last label, if that is broken over lines around its amounts."""
    if end >= len(laid) or end - start < 2:
        return end
    last, row = laid[end - 1], laid[end]
    step = last.y - row.y
    normal = median(above.y - below.y for above, below in pairwise(laid[start:end]))
    rest = _is_label(row, columns) and row.right < columns.spans[0][0] and not row.cells[0].numeric
    close = step <= _TIGHT * row.height and (step < _CLOSER * normal or row.cells[0].words[0].islower())
    return end + 1 if rest and close else end


def _table(body: list[Row], columns: Columns) -> Table:
    # Without a header above them, the amounts do not become one.
    head = list(takewhile(lambda row: row.is_years and not _is_label(row, columns), body))
    data = [(row, columns.place(row)) for row in body[len(head) :]]
    label = min((row.left for row, cells in data if LABEL in cells), default=None)
    made = (header_rows(head, columns, label) or [{}]) + _joined_labels(data)
    used = sorted({column for cells in made for column in cells})
    lines = [index for row in body for index in row.lines]
    return Table(lines, [[cells.get(column, "") for column in used] for cells in made])


def _is_label(row: Row, columns: Columns) -> bool:
    return len(row.cells) == 1 and row.left < columns.spans[0][0] - 1.5 * row.height


def _joined_labels(body: list[tuple[Row, _Line]]) -> list[_Line]:
    """A label that is broken over lines is put together, on the line of its amounts."""
    steps = [above.y - below.y for (above, _), (below, _) in pairwise(body)]
    normal = median(steps) if steps else 0.0
    made = [dict(cells) for _, cells in body[:1]]
    for step, (row, cells) in zip(steps, body[1:], strict=True):
        if step <= _TIGHT * row.height and _continues(made[-1], cells, closer=step < _CLOSER * normal):
            label = f"{made[-1].get(LABEL, '')} {cells.get(LABEL, '')}".strip()
            made[-1] = made[-1] | cells | {LABEL: label}
        else:
            made.append(dict(cells))
    return made


def _continues(above: _Line, below: _Line, closer: bool) -> bool:
    """Whether these are lines of one row: only one of them has amounts, and the label goes on. ``closer``: they are
    nearer to each other than rows are."""
    first, second = above.get(LABEL, ""), below.get(LABEL, "")
    if not first or first.endswith(":") or (len(above) > 1 and len(below) > 1):
        return False
    if not second:
        return len(above) == 1
    return closer or second[:1].islower() or bool(_GOES_ON.search(first) and len(above) == 1)
