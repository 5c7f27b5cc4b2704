"""HTML tables to Markdown tables, one row a line, so that a row is never cut and the model sees columns."""

from __future__ import annotations

from typing import Any

import lxml.html  # type: ignore[import-untyped]


def markdown_table(source: str) -> str:
    """The first row becomes the header. A merged cell is written once; the cells it covers stay empty.
    Returns "" for a table without text."""
    root = lxml.html.fragment_fromstring(source, create_parent="div")
    table = next(root.iter("table"), root)
    rows = _grid(table)
    width = max((index + 1 for row in rows for index, cell in enumerate(row) if cell), default=0)
    if not width:
        return ""
    lines = [_line((row + [""] * width)[:width]) for row in rows if any(row)]
    lines.insert(1, _line(["---"] * width))
    return "\n".join(lines)


def _grid(table: Any) -> list[list[str]]:
    grid: list[list[str]] = []
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
                cells.append("" if offset else _text(cell))
        for column in [column for column in covered if column >= len(cells) and covered[column]]:
            covered[column] -= 1
        grid.append(cells)
    return grid


def _span(cell: Any, name: str) -> int:
    value = cell.get(name, "1").strip()
    # Bounded as browsers do: a wrong number must not make a table of millions of cells.
    return min(max(int(value), 1), 1000) if value.isdecimal() else 1


def _text(cell: Any) -> str:
    return " ".join(" ".join(cell.itertext()).split()).replace("|", "\\|")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
