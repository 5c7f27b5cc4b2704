"""What a parser returns: normalized text and, over it, where each part came from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """From ``start`` (a character offset) to the next region's start, everything lies on one page or
    sheet and under one heading path. Passages never cross a region's border, so their page is exact."""

    start: int
    section: tuple[str, ...] = ()
    page: int | None = None
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """``regions`` are sorted by start, the first at 0 (an empty text has none). ``text`` uses ``\\n`` only."""

    text: str
    title: str
    regions: tuple[Region, ...]
    pages: int | None = None

    def __post_init__(self) -> None:
        starts = [region.start for region in self.regions]
        if self.text and (not starts or starts[0] != 0):
            raise ValueError("the first region must start at 0")
        if starts != sorted(set(starts)) or (starts and starts[-1] >= max(1, len(self.text))):
            raise ValueError(f"regions must have rising starts within the text, got {starts[:8]}")


# The file's bytes and its name (for a title and for messages). Raises rag.errors.SourceError.
Parser = Callable[[bytes, str], Parsed]
