"""Jupyter's .ipynb as Markdown, cell by cell: text, code in fences, and the beginning of what it printed.

The format: https://nbformat.readthedocs.io/en/latest/format_description.html
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ingest.code import languages
from ingest.code.parser import outline_of
from ingest.formats.markdown import parse_markdown
from ingest.formats.plain import decode
from ingest.parsed import Parsed, Region
from rag.code.outline import Outline
from rag.errors import SourceCorrupt

# Characters of what one cell printed.
_OUTPUT = 1000
# A cell that is shorter stands with the next one of its section, up to this.
_SMALL, _ROOM = 200, 700
_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TICKS = re.compile(r"`+")
_COMMAND = re.compile(r"^[ \t]*[%!].*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Cell:
    """``code`` is where the code begins in ``text`` (-1: there is none), ``size`` how long it is."""

    text: str
    code: int = -1
    size: int = 0


def parse_notebook(data: bytes, name: str) -> Parsed:
    """Lines and offsets are those of the Markdown. A cell is a region; its section is its heading, or ``Cell 3``."""
    notebook = _loaded(data, name)
    language = _language(notebook)
    cells = [cell for each in _cells(notebook) if (cell := _cell(each, language)).text]
    if not cells:
        return Parsed("", name, ())
    text = "\n\n".join(cell.text for cell in cells)
    marked = parse_markdown(text.encode("utf-8", "surrogatepass"), name)
    starts = [0]
    for cell in cells[:-1]:
        starts.append(starts[-1] + len(cell.text) + 2)
    regions = _together(_regions(marked.regions, starts), len(text))
    return Parsed(text, marked.title, regions, outline=_outline(text, cells, starts, name, language))


def _loaded(data: bytes, name: str) -> dict[str, Any]:
    try:
        notebook = json.loads(decode(data, name))
    except (ValueError, RecursionError) as error:
        raise SourceCorrupt(
            f"{name} is no notebook: {error}.", "Open it in Jupyter; if that works, save it again."
        ) from error
    if not isinstance(notebook, dict):
        raise SourceCorrupt(f"{name} is no notebook.", "Open it in Jupyter, and save it again.")
    return notebook


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for key, field in (("kernelspec", "language"), ("language_info", "name")):
        found = metadata.get(key)
        if isinstance(found, dict) and isinstance(found.get(field), str):
            return str(found[field]).lower()
    return "python"


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Version 3 has them in worksheets."""
    sheets = notebook.get("worksheets") or [notebook]
    found = [cell for sheet in sheets if isinstance(sheet, dict) for cell in sheet.get("cells") or ()]
    return [cell for cell in found if isinstance(cell, dict)]


def _cell(cell: dict[str, Any], language: str) -> _Cell:
    source = _text(cell.get("source", cell.get("input"))).strip("\n")
    if cell.get("cell_type") != "code":
        return _Cell(source.strip())
    output = "\n".join(filter(None, map(_output, cell.get("outputs") or ()))).strip("\n")
    if len(output) > _OUTPUT:
        output = output[:_OUTPUT].rstrip() + "\n…"
    fenced = _fenced(source, language) if source.strip() else ""
    text = "\n\n".join(filter(None, (fenced, _fenced(output, "") if output.strip() else "")))
    return _Cell(text, fenced.index("\n") + 1, len(source)) if fenced else _Cell(text)


def _output(output: object) -> str:
    if not isinstance(output, dict):
        return ""
    if "ename" in output:
        return f"{output['ename']}: {output.get('evalue', '')}"
    data = output.get("data")
    shown = data.get("text/plain") if isinstance(data, dict) else None
    return _TERMINAL.sub("", _text(output.get("text") or shown)).rstrip("\n")


def _text(value: object) -> str:
    text = "".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, _TICKS.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _regions(marked: tuple[Region, ...], starts: list[int]) -> list[Region]:
    """Of headings and of cells."""
    borders = [region.start for region in marked]
    found = {region.start: region for region in marked}
    for number, start in enumerate(starts, 1):
        section = marked[bisect_right(borders, start) - 1].section or (f"Cell {number}",)
        found[start] = Region(start, section)
    return [found[start] for start in sorted(found)]


def _together(regions: list[Region], length: int) -> tuple[Region, ...]:
    kept = [regions[0]]
    for region, after in pairwise([*regions[1:], Region(length)]):
        size, both = region.start - kept[-1].start, after.start - kept[-1].start
        if not (size < _SMALL and both <= _ROOM and kept[-1].section == region.section):
            kept.append(region)
    return tuple(kept)


def _outline(text: str, cells: list[_Cell], starts: list[int], name: str, language: str) -> Outline | None:
    """Of all code together, in its place: what is no code is blank."""
    known = languages.named(language)
    if known is None:
        return None
    blank = list(re.sub(r"[^\n]", " ", text))
    for cell, start in zip(cells, starts, strict=True):
        if cell.code >= 0:
            first = start + cell.code
            code = text[first : first + cell.size]
            blank[first : first + cell.size] = _COMMAND.sub(lambda match: " " * len(match[0]), code)
    outlined = outline_of("".join(blank), name, known)
    return outlined[0] if outlined else None
