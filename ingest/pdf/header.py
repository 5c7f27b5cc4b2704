"""The header of a table of numbers: which columns each of its cells stands over, and lines of one cell together."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from ingest.pdf.cells import Cell, Row
from ingest.pdf.columns import LABEL, Columns

# In heights of a line: baselines nearer than the first are of cells side by side, centred on different heights;
# those nearer than the second are of lines of one cell.
_INTERLEAVED, _TIGHT = 0.8, 1.35
# More rows than these are not lines of one header.
_MAX_JOINED = 5
# Cells of labels begin within this of the labels' left edge, in heights.
_INDENT = 2.0
# A gap between cells that stand close, in gaps between words.
_WIDER = 1.4
# A cell is centred over columns if the middles differ by less: a share of their width, and points.
_OFF_CENTRE = (0.1, 3.0)


def header_rows(head: list[Row], columns: Columns, label: float | None) -> list[dict[int, str]]:
    """The text by column, a row of the table each. ``label`` is where labels begin, if the table has any.

    A cell over several columns stands in the first of them, in a row of its own.
    """
    header = _Header(columns, label)
    made: list[dict[int, str]] = []
    below: Row | None = None
    for band in reversed(_bands(head)):
        cells, spanning = header.placed(band)
        tight = below is not None and band[-1].y - below.y <= _TIGHT * max(below.height, band[-1].height)
        if made and tight and not spanning and not header.spanned and len(head) <= _MAX_JOINED:
            for column, text in cells.items():
                made[0][column] = f"{text} {made[0].get(column, '')}".strip()
        else:
            made.insert(0, cells)
        header.spanned, below = spanning, band[0]
    return made


def _bands(head: list[Row]) -> list[list[Row]]:
    bands: list[list[Row]] = []
    for row in head:
        if bands and bands[-1][-1].y - row.y < _INTERLEAVED * row.height:
            bands[-1].append(row)
        else:
            bands.append([row])
    return bands


class _Header:
    """Learns, from the lowest row upwards, where the header's cells stand: they may be wider than the amounts."""

    def __init__(self, columns: Columns, label: float | None) -> None:
        self._columns, self._label = columns, label
        self._cells: list[tuple[float, float]] = []  # of a row that has one for each column
        self.spanned = False  # the last row had a cell over several columns

    def placed(self, band: list[Row]) -> tuple[dict[int, str], bool]:
        """The text by column, and whether a cell is over several."""
        cells = [cell for row in band for cell in row.cells]
        count = len(self._columns.spans)
        all_over = len(cells) == count and not self._begins_as_label(cells[0])
        labels = [] if all_over else [cell for cell in cells if self._is_label(cell)]
        over = [cell for cell in cells if cell not in labels]
        placed = [(LABEL, cell) for cell in labels]
        spanning = False
        if len(band) == 1 and len(over) == count:
            self._cells = [(cell.left, cell.right) for cell in over]
            placed += enumerate(over)
        elif len(band) == 1 and (
            groups := self._groups(over) or self._groups([p for c in over for p in _parts(c)])
        ):
            placed += groups
            spanning = True
        else:
            for cell in over:
                columns = self._over(cell)
                spanning = spanning or len(columns) > 1
                placed.append((columns[0], cell))
        text: dict[int, str] = {}
        for column, cell in placed:
            text[column] = f"{text[column]} {cell.text}" if column in text else cell.text
        return text, spanning

    def _begins_as_label(self, cell: Cell) -> bool:
        return self._label is not None and cell.left <= self._label + _INDENT * self._columns.height

    def _is_label(self, cell: Cell) -> bool:
        if self._label is None:
            return False
        first = min([self._columns.spans[0][0], *(left for left, _ in self._cells[:1])])
        return cell.right <= first or (
            self._begins_as_label(cell) and first > self._label + self._columns.height
        )

    def _groups(self, cells: list[Cell]) -> list[tuple[int, Cell]]:
        """Each cell with the first of its columns, if all are centred over the same number of them, more than one."""
        count = len(self._columns.spans)
        if not cells or count % len(cells) or count == len(cells):
            return []
        size = count // len(cells)
        for spans in (self._columns.spans, self._cells):
            groups = [(spans[i][0], spans[i + size - 1][1]) for i in range(0, len(spans), size)]
            if groups and all(_is_centred(cell, *group) for cell, group in zip(cells, groups, strict=True)):
                return [(size * index, cell) for index, cell in enumerate(cells)]
        return []

    def _over(self, cell: Cell) -> list[int]:
        spans = self._columns.spans
        if self._cells:
            spans = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(spans, self._cells, strict=True)]
        over = [
            index
            for index, (left, right) in enumerate(spans)
            if cell.right > left + 1 and cell.left < right - 1
        ]
        middle = (cell.left + cell.right) / 2
        return over or [sum(middle > (one[1] + two[0]) / 2 for one, two in pairwise(spans))]


def _is_centred(cell: Cell, left: float, right: float) -> bool:
    off = abs((cell.left + cell.right) - (left + right)) / 2
    return off <= _OFF_CENTRE[0] * (right - left) + _OFF_CENTRE[1]


def _parts(cell: Cell) -> list[Cell]:
    """Cut where a gap is wider than the others, if not wide enough to part cells by itself."""
    gaps = [left - right for left, right in zip(cell.lefts[1:], cell.rights, strict=False)]
    if not gaps:
        return [cell]
    wide = _WIDER * median(gaps)
    cuts = [0, *(index + 1 for index, gap in enumerate(gaps) if gap > wide), len(cell.words)]
    return [cell.part(start, end) for start, end in pairwise(cuts)]
