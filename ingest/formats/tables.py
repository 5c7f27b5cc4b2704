"""Rows of cells as Markdown tables, one row a line, so that a row is never cut and the model sees columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def markdown_table(source: str) -> str:
    """An HTML table's source. The first row becomes the header. A merged cell is written once; the cells it
    covers stay empty. Returns "" for a table without text."""
    import lxml.html  # type: ignore[import-untyped]

    root = lxml.html.fragment_fromstring(source, create_parent="div")
    table = next(root.iter("table"), root)
    return markdown_rows(grid(table, lambda cell: " ".join(cell.itertext())))


def markdown_rows(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells, which may differ in length; empty rows and columns on the right are left out."""
    width = max((index + 1 for row in rows for index, cell in enumerate(row) if cell.strip()), default=0)
    if not width:
        return ""
    lines = [_line(([*row] + [""] * width)[:width]) for row in rows if any(cell.strip() for cell in row)]
    lines.insert(1, f"| {' | '.join(['---'] * width)} |")
    return "\n".join(lines)


def grid(table: Any, text_of: Callable[[Any], str]) -> list[list[str]]:
    """The cells of an HTML table's own rows by row and column."""
    found: list[list[str]] = []
    covered: dict[int, int] = {}  # column -> rows that a cell above still reaches down
    for row in table.xpath("./tr | ./thead/tr | ./tbody/tr | ./tfoot/tr"):
        cells: list[str] = []
        for cell in row.xpath("./td | ./th"):
            while covered.get(len(cells), 0):
                covered[len(cells)] -= 1
                cells.append("")
            across, down = _span(cell, "colspan"), _span(cell, "rowspan")
            for offset in range(across):
                covered[len(cells)] = down - 1
                cells.append("" if offset else text_of(cell))
        for column in [column for column in covered if column >= len(cells) and covered[column]]:
            covered[column] -= 1
        found.append(cells)
    return found


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1").strip()
    # Bounded as browsers do: a wrong number must not make a table of millions of cells.
    return min(max(int(value), 1), 1000) if value.isdecimal() else 1


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"
