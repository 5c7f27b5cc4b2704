"""What a parser returns: normalized text and, over it, where each part came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rag.code.outline import Outline


@dataclass(frozen=True, slots=True)
class Region:
    """From ``start`` (a character offset) to the next region's start, everything lies on one page or
    sheet and under one heading path. Passages never cross a region's border, so their page is exact.
    ``ocr``, ``about`` and ``doc`` are as in rag.types.Passage: ``doc`` of its first passage, ``about`` of others."""

    start: int
    section: tuple[str, ...] = ()
    page: int | None = None
    sheet: str | None = None
    ocr: float | None = None
    about: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """``regions`` are sorted by start, the first at 0 (an empty text has none). ``text`` uses ``\\n`` only.
    Of ``pages``, ``ocr_pages`` were read from their image and ``empty_pages`` gave no text.
    ``fields`` is the front matter, ``outline`` what a file of code defines and uses."""

    text: str
    title: str
    regions: tuple[Region, ...]
    pages: int | None = None
    ocr_pages: int = 0
    empty_pages: int = 0
    fields: dict[str, str | list[str]] = field(default_factory=dict, hash=False)
    outline: Outline | None = None

    def __post_init__(self) -> None:
        starts = [region.start for region in self.regions]
        if self.text and (not starts or starts[0] != 0):
            raise ValueError("the first region must start at 0")
        if starts != sorted(set(starts)) or (starts and starts[-1] >= max(1, len(self.text))):
            raise ValueError(f"regions must have rising starts within the text, got {starts[:8]}")


# The file's bytes and its name (for a title and for messages). Raises rag.errors.SourceError.
Parser = Callable[[bytes, str], Parsed]


class HeadingPath:
    """The heading path while a document is read from top to bottom."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(title for _, title in self._open)

    def enter(self, level: int, title: str) -> tuple[str, ...]:
        """A heading closes those of its own and of deeper levels. Levels may start anywhere and skip."""
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        self._open.append((level, title))
        return self.path


class Composer:
    """Joins blocks of text into a Parsed and opens a region wherever the place changes.

    The gap before a block belongs to the region before it, so no region begins with blank lines.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._regions: list[Region] = []
        self._bare: list[bool] = []

    def add(self, text: str, place: Region, *, gap: str = "\n\n", heading: bool = False) -> None:
        """``place.start`` is not read. ``heading`` says that the block is nothing but a heading."""
        if not text:
            return
        if self._parts:
            self._append(gap)
        here = replace(place, start=self._length)
        if not self._regions or replace(self._regions[-1], start=self._length) != here:
            self._regions.append(here)
            self._bare.append(heading)
        self._bare[-1] = self._bare[-1] and heading
        self._append(text)

    def finish(self, title: str, pages: int | None = None) -> Parsed:
        text = "".join(self._parts)
        return Parsed(text, title, join_bare(self._regions, self._bare), pages)

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def join_bare(regions: Sequence[Region], bare: Sequence[bool]) -> tuple[Region, ...]:
    """A heading without text of its own joins the subsection below it: alone it would be a passage that
    says nothing, and the subsection's path names it anyway."""
    kept: list[Region] = []
    start: int | None = None
    for index, region in enumerate(regions):
        begin = region.start if start is None else start
        below = regions[index + 1] if index + 1 < len(regions) else None
        if below is not None and bare[index] and _is_within(below, region):
            start = begin
            continue
        kept.append(replace(region, start=begin))
        start = None
    return tuple(kept)


def _is_within(inner: Region, outer: Region) -> bool:
    same_place = (inner.page, inner.sheet) == (outer.page, outer.sheet)
    return same_place and inner.section[: len(outer.section)] == outer.section
