"""From a byte of a file's UTF-8 to its character and its line."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

_CONTINUED = re.compile(rb"[\x80-\xbf]")


class Marks:
    """Of one text; ``data`` is its UTF-8."""

    def __init__(self, text: str, data: bytes) -> None:
        self.text = text
        # Each character begins with one byte that continues none.
        self._continued = [] if len(data) == len(text) else [m.start() for m in _CONTINUED.finditer(data)]
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def character(self, byte: int) -> int:
        return byte - bisect_left(self._continued, byte)

    def row(self, character: int) -> int:
        """Counts from 0."""
        return bisect_right(self._lines, character) - 1

    def line_start(self, character: int) -> int:
        """Where its line begins if nothing but blanks stands before it there; else ``character``."""
        start = self._lines[self.row(character)]
        return start if not self.text[start:character].strip() else character

    def line_end(self, character: int) -> int:
        """Behind the line break of its line, and the blank lines below it."""
        row = self.row(character) + 1
        while row < len(self._lines) - 1 and not self.text[self._lines[row] : self._lines[row + 1]].strip():
            row += 1
        return self._lines[row] if row < len(self._lines) else len(self.text)
