"""HTML tables: those of data as Markdown, with their caption; those that only lay out a page are told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ingest.formats.tables import grid, markdown_rows

# A cell of data holds no more text than this, in characters.
_MAX_CELL = 1500
_MAX_INNER = 300


def table_text(table: Any, text_of: Callable[[Any], str]) -> list[str] | None:
    """The caption and the table as Markdown; None for a table that lays out blocks of text."""
    if _lays_out(table):
        return None
    captions = [text for caption in table.iterchildren("caption") if (text := text_of(caption))]
    written = markdown_rows(grid(table, text_of))
    return [*captions, written] if written else captions


def _lays_out(table: Any) -> bool:
    if (table.get("role") or "").lower() in ("presentation", "none"):
        return True
    rows = table.xpath("./tr | ./thead/tr | ./tbody/tr | ./tfoot/tr")
    widest = max((len(row.xpath("./td | ./th")) for row in rows), default=0)
    inner = next(table.iterdescendants("table"), None) is not None
    if widest <= 1 and (inner or len(rows) <= 1):
        return True
    for row in rows:
        for cell in row.xpath("./td | ./th"):
            nested = next(cell.iterdescendants("table"), None) is not None
            if (inner and nested) or len(cell) > 3:
                length = len("".join(cell.itertext()))
                if length > (_MAX_INNER if nested else _MAX_CELL):
                    return True
    return False
