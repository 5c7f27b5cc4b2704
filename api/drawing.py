"""Pages of PDFs as pictures, drawn in a process of its own: a file that makes the library crash or hang costs no more
than its picture."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ingest.pdf.page_image import PageImage
from ingest.workers import ParserBug, Workers
from rag.errors import SourceCorrupt
from rag.types import Span

KEPT = 16  # that were drawn last, some hundred kilobytes each
TIMEOUT_S, MEMORY_BYTES = 20.0, 2**30


class Drawing:
    """The process starts with the first page. Safe to use from threads."""

    def __init__(self) -> None:
        self._workers = Workers(1, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
        self._kept = lru_cache(maxsize=KEPT)(self._drawn)

    def page(self, file: Path, content_hash: str, number: int, text: str, span: Span) -> PageImage:
        """As `ingest.pdf.page_image`. ``content_hash`` is the file's. Raises SourceError."""
        return self._kept(file, content_hash, number, text, span)

    def close(self) -> None:
        self._workers.close()

    def _drawn(self, file: Path, _content_hash: str, number: int, text: str, span: Span) -> PageImage:
        try:
            return self._workers.draw(file, number, text, span).result()
        except ParserBug as bug:
            raise SourceCorrupt(f"Page {number} of {file.name} cannot be drawn ({bug.error}).") from bug
