"""Regions of a text that is kept as it is, from the places of its headings."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.parsed import HeadingPath, Region

# (start, end, level, title); offsets in the text, from the heading's first line to past its last.
Heading = tuple[int, int, int, str]


def heading_regions(
    text: str, headings: Sequence[Heading], offset: int = 0
) -> tuple[list[Region], list[bool]]:
    """The regions, and for each whether it is nothing but its heading (or front matter, up to ``offset``)."""
    first = headings[0][0] if headings else len(text)
    outline = HeadingPath()
    regions, bare = [], []
    if text[:first].strip():
        regions.append(Region(0))
        bare.append(not text[offset:first].strip())
    for index, (start, end, level, title) in enumerate(headings):
        after = headings[index + 1][0] if index + 1 < len(headings) else len(text)
        path = outline.enter(level, title) if title else outline.path
        # Blank lines above the first heading belong to it.
        regions.append(Region(start if regions else 0, path))
        bare.append(not text[end:after].strip())
    if text and not regions:
        regions.append(Region(0))
        bare.append(False)
    return regions, bare
