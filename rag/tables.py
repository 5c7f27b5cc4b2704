"""Rows of Markdown tables, which is how tables of all formats are written, under their headings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from rag.terms import Term, scaled, table_scale, terms
from rag.types import Span

# How many lines above a table may say that its numbers are in millions.
_NOTE_LINES = 3


@dataclass(frozen=True, slots=True)
class Row:
    """``header`` is the index of the row that names the columns. A number of a table in millions is there as it
    stands and as what it means."""

    header: int
    cells: tuple[tuple[Term, ...], ...]

    @property
    def terms(self) -> list[Term]:
        return [term for cell in self.cells for term in cell]


def rows(text: str, spans: Sequence[Span]) -> dict[int, Row]:
    """Of those spans that are rows, by index."""
    found: dict[int, Row] = {}
    header: int | None = None
    scale: int | None = None
    for at, span in enumerate(spans):
        if not _is_row(text, span):
            header = None
            continue
        if header is None:
            header = at
            notes = spans[max(0, at - _NOTE_LINES) : at + 1]
            scale = next(
                (s for note in reversed(notes) if (s := table_scale(text[note.start : note.end]))), None
            )
        cells = text[span.start + 1 : span.end - 1].split("|")
        found[at] = Row(header, tuple(tuple(_terms(cell, scale if at > header else None)) for cell in cells))
    return found


def is_of_other_columns(content: AbstractSet[str], numbers: AbstractSet[str], row: Row, header: Row) -> bool:
    """Whether the numbers of a claim stand in the row, but not in the columns that the claim names, where others do."""
    columns = zip(header.cells, row.cells, strict=False)
    named = [cell for heading, cell in columns if any(term.stem in content for term in heading)]
    in_named = {term.stem for cell in named for term in cell if term.is_number}
    elsewhere = {term.stem for term in row.terms if term.stem in numbers}
    return bool(in_named and elsewhere) and not in_named & numbers


def _is_row(text: str, span: Span) -> bool:
    return span.end - span.start > 2 and text[span.start] == text[span.end - 1] == "|"


def _terms(cell: str, scale: int | None) -> Iterator[Term]:
    for term in terms(cell):
        yield term
        if scale and (meant := scaled(term.stem, scale)):
            yield term._replace(stem=meant)
