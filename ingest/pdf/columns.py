"""The columns of a table of numbers, and which of them a cell stands in."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median

from ingest.pdf.cells import Cell, Row, is_currency

# The column of labels, left of the others.
LABEL = -1
# In heights of a line: columns may reach into each other by this; words of two columns are at least so far apart.
_TOUCH = 0.15
_APART = 0.4


@dataclass(slots=True)
class Columns:
    """``spans``: where amounts stand, from left to right."""

    spans: list[tuple[float, float]]
    height: float

    def place(self, row: Row) -> dict[int, str]:
        """The row's text by column."""
        placed: dict[int, str] = {}
        for position, cell in enumerate(row.cells):
            for column, part in self._parts(cell, first=position == 0):
                placed[column] = f"{placed[column]} {part}" if column in placed else part
        return placed

    def _parts(self, cell: Cell, first: bool) -> list[tuple[int, str]]:
        over = self._over(cell)
        start = self.spans[0][0]
        if first and not cell.numeric and cell.left < start - self.height:
            return self._label(cell, over)
        if cell.right <= start or (first and cell.numeric and not over and cell.left < start):
            return [(LABEL, cell.text)]
        if len(over) > 1:
            return self._split(cell) or [(over[0], cell.text)]
        return [(over[0] if over else self._nearest(cell), cell.text)]

    def _label(self, cell: Cell, over: list[int]) -> list[tuple[int, str]]:
        """A label, and the amount that it may run into."""
        if over:
            for index in range(1, len(cell.words)):
                tail = cell.part(index, len(cell.words))
                amount = next(
                    (
                        left
                        for word, left in zip(tail.words, tail.lefts, strict=True)
                        if not is_currency(word)
                    ),
                    0.0,
                )
                if tail.numeric and amount >= self.spans[0][0] - _TOUCH * self.height:
                    return [(LABEL, cell.part(0, index).text), *self._parts(tail, first=False)]
        return [(LABEL, cell.text)]

    def _split(self, cell: Cell) -> list[tuple[int, str]]:
        """The words by the column that each stands in, where blanks between columns are wider than a space."""
        centres = [(left + right) / 2 for left, right in zip(cell.lefts, cell.rights, strict=True)]
        columns = [self._zone(centre) for centre in centres]
        for index, (one, two) in enumerate(pairwise(columns)):
            if one != two and cell.lefts[index + 1] - cell.rights[index] < _APART * self.height:
                return []
        parts = groupby(zip(columns, cell.words, strict=True), key=lambda pair: pair[0])
        return [(column, " ".join(word for _, word in words)) for column, words in parts]

    def _over(self, cell: Cell) -> list[int]:
        # Amounts hang out of their columns by a bracket, and headings reach over the next.
        slack = _TOUCH * self.height * (-1 if cell.numeric else 1)
        return [i for i, (a, b) in enumerate(self.spans) if cell.right > a + slack and cell.left < b - slack]

    def _zone(self, x: float) -> int:
        return sum(x > (one[1] + two[0]) / 2 for one, two in pairwise(self.spans))

    def _nearest(self, cell: Cell) -> int:
        return self._zone((cell.left + cell.right) / 2)


def columns_of(body: list[Row]) -> Columns | None:
    """From the amounts, narrow ones first: one that is wider than its column must not join two."""
    height = median(row.height for row in body)
    beyond = [cell for row in body for cell in row.cells[1:] if cell.numeric]
    if not beyond:
        return None
    start = min(cell.left for cell in beyond)
    alone = [row.cells[0] for row in body if row.cells[0].numeric and row.cells[0].right > start]
    found: list[list[float]] = []  # left, right, number of cells
    for cell in sorted([*beyond, *alone], key=lambda cell: cell.right - cell.left):
        _add(found, cell, _TOUCH * height)
    for row in body:
        if row.is_data and not row.is_years:
            for cell in row.cells[1:]:
                if not cell.numeric and not any(cell.right > a and cell.left < b for a, b, _ in found):
                    found.append([cell.left, cell.right, 1])
    return Columns([(left, right) for left, right, _ in sorted(found)], height)


def _add(found: list[list[float]], cell: Cell, slack: float) -> None:
    over = [span for span in found if cell.right > span[0] - slack and cell.left < span[1] + slack]
    if sum(span[2] > 1 for span in over) > 1:
        return
    for span in over:
        found.remove(span)
    count = sum(span[2] for span in over) + 1
    left = min([cell.left, *(span[0] for span in over)])
    right = max([cell.right, *(span[1] for span in over)])
    found.append([left, right, count])
