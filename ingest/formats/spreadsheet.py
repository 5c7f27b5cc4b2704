"""XLSX, XLS, XLSB and ODS through calamine: each sheet's tables as Markdown, hidden sheets too."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import PurePosixPath

from ingest.formats.office_files import is_panic, refuse_encrypted, refuse_endless
from ingest.formats.ooxml_notes import sheet_notes
from ingest.formats.tables import markdown_rows
from ingest.parsed import Composer, Parsed, Region
from rag.errors import SourceCorrupt

_ZIP = b"PK"


def parse_spreadsheet(data: bytes, name: str) -> Parsed:
    """Cells show the values last computed, as a person reads them; formulas are not kept."""
    import python_calamine

    refuse_encrypted(data, name)
    refuse_endless(data, name)
    composer = Composer()
    try:
        with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as book:
            notes = sheet_notes(data) if data.startswith(_ZIP) else {}
            for sheet in book.sheet_names:
                place = Region(0, sheet=sheet)
                for block in _blocks(book.get_sheet_by_name(sheet).to_python(skip_empty_area=True)):
                    composer.add(block, place)
                composer.add("\n".join(notes.pop(sheet, ())), place)
    except BaseException as exc:
        if not (isinstance(exc, Exception) or is_panic(exc)):
            raise
        raise SourceCorrupt(
            f"{name} cannot be read as a spreadsheet ({type(exc).__name__}: {str(exc)[:200]}).",
            "Open it in the program that it comes from; if that works, save it again.",
        ) from exc
    return composer.finish(PurePosixPath(name).name)


def _blocks(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Tables, parted by empty rows, without empty columns. A row of one cell above a table is its caption."""
    block: list[list[str]] = []
    for row in [*rows, []]:
        cells = [shown(value) for value in row]
        if any(cells):
            block.append(cells)
        elif block:
            yield from _written(block)
            block = []


def _written(block: list[list[str]]) -> Iterator[str]:
    width = max(map(len, block))
    used = [index for index in range(width) if any(index < len(row) and row[index] for row in block)]
    rows = [[row[index] if index < len(row) else "" for index in used] for row in block]
    while rows and sum(map(bool, rows[0])) == 1 and (len(rows) == 1 or _width(rows) > 1):
        yield next(filter(None, rows.pop(0)))
    if rows:
        yield markdown_rows(rows)


def _width(rows: list[list[str]]) -> int:
    return max(sum(map(bool, row)) for row in rows)


def shown(value: object) -> str:
    """A cell as a spreadsheet shows it: 15 digits at most, dates without a time of midnight."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, datetime):
        midnight = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if midnight else value.isoformat(" ", "seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return " ".join(str(value).split())
