"""Which part of a file of code belongs to which definition: regions that begin and end where definitions do. Pure.

A function is a region. So is a class that is short; of a longer one its head (signature, documentation, attributes) is
one and each of its methods. What stands between definitions belongs to what they are in. Neighbours that say little
alone, as one-line constants and the smallest functions do, stand together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.code.marks import Marks
from ingest.code.outlining import Section
from ingest.code.tags import VALUES
from ingest.parsed import Region

# Characters. The smallest embedder sees about 900 of a passage.
_LONG_VALUE = 300  # a constant that is longer is a region
_WHOLE = 900  # a class up to this is not divided
_LARGE = 4000  # a function that is longer is divided as classes are, if it defines others
_SMALL = 200  # what is shorter stands together with its like,
_ROOM = 700  # up to this
_ORPHAN = 120  # what is shorter joins what is below it


@dataclass(frozen=True, slots=True)
class _Piece:
    """``home`` is the path of what it is in; a piece that is no definition (``gap``) has that for its section."""

    start: int
    end: int
    section: tuple[str, ...]
    home: tuple[str, ...]
    about: str = ""
    doc: str = ""

    @property
    def gap(self) -> bool:
        return self.section == self.home

    @property
    def size(self) -> int:
        return self.end - self.start


def regions(sections: Sequence[Section], marks: Marks) -> tuple[Region, ...]:
    """Of a text that is not empty."""
    pieces = _without_blank(list(_pieces(sections, marks)), marks.text)
    pieces = _adopted(_together(pieces))
    return tuple(Region(piece.start, piece.section, about=piece.about, doc=piece.doc) for piece in pieces)


def _pieces(sections: Sequence[Section], marks: Marks) -> Iterator[_Piece]:
    borders: dict[int, tuple[tuple[str, ...], tuple[str, ...], str, str]] = {0: ((), (), "", "")}
    open_: list[Section] = []
    last = 0

    def close(upto: int) -> None:
        nonlocal last
        while open_ and open_[-1].end <= upto:
            closed = open_.pop()
            last = max(last, marks.line_end(closed.end - 1))
            outer = open_[-1] if open_ else None
            borders[last] = (outer.path, outer.path, outer.about, "") if outer else ((), (), "", "")

    divided = _divided(sections)
    for at, section in enumerate(sections):
        if section.parent >= 0 and section.parent not in divided:
            continue
        if section.kind in VALUES and (section.parent >= 0 or section.end - section.start <= _LONG_VALUE):
            continue
        close(section.start)
        last = max(last, section.start)
        home = section.path if at in divided else (open_[-1].path if open_ else ())
        borders[last] = (section.path, home, section.about, section.doc)
        open_.append(section)
    close(len(marks.text))
    starts = sorted(start for start in borders if start < len(marks.text))
    for start, end in zip(starts, [*starts[1:], len(marks.text)], strict=True):
        yield _Piece(start, end, *borders[start])


def _divided(sections: Sequence[Section]) -> set[int]:
    """Indices of those that are more than one region."""
    found: set[int] = set()
    for section in sections:
        if section.parent < 0 or section.kind in VALUES:
            continue
        outer = sections[section.parent]
        most = _LARGE if outer.kind in ("function", "method", *VALUES) else _WHOLE
        if outer.end - outer.start > most:
            found.add(section.parent)
    return found


def _without_blank(pieces: Sequence[_Piece], text: str) -> list[_Piece]:
    """What holds no word (closing brackets, blank lines) belongs to what is above it."""
    kept: list[_Piece] = []
    for piece in pieces:
        if kept and not any(map(str.isalnum, text[piece.start : piece.end])):
            kept[-1] = replace(kept[-1], end=piece.end)
        else:
            kept.append(piece)
    return kept


def _together(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Small neighbours become one piece, which is called after what they are in."""
    kept: list[_Piece] = []
    for piece in pieces:
        before = kept[-1] if kept else None
        if (
            before is not None
            and before.home == piece.home
            and before.size + piece.size <= _ROOM
            and all(each.gap or each.size < _SMALL for each in (before, piece))
        ):
            about = next((each.about for each in (before, piece) if each.gap), "")
            kept[-1] = _Piece(before.start, piece.end, piece.home, piece.home, about)
        else:
            kept.append(piece)
    return kept


def _adopted(pieces: Sequence[_Piece]) -> list[_Piece]:
    """A piece that is too short to stand alone, and has no like, joins what is below it in the same definition."""
    kept: list[_Piece] = []
    for piece in pieces:
        before = kept[-1] if kept else None
        if before is not None and before.size < _ORPHAN and before.home == piece.home:
            kept[-1] = replace(piece, start=before.start)
        else:
            kept.append(piece)
    return kept
