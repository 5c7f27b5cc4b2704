"""Pages of PDFs as pictures, drawn in a process of its own: a file that makes the library crash or hang costs no more
than its picture."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path

from ingest.originals import original
from ingest.pdf.page_image import PageImage
from ingest.workers import ParserBug, Workers
from rag.errors import SourceCorrupt
from rag.types import Document, Span

KEPT = 16  # that were drawn last, some hundred kilobytes each
AT_ONCE = 1  # drawn; whoever asks for another one meanwhile waits on the event loop, and takes no thread
TIMEOUT_S, MEMORY_BYTES = 20.0, 2**30


class Drawing:
    """The process starts with the first page. For one event loop."""

    def __init__(self) -> None:
        self._workers = Workers(AT_ONCE, timeout_s=TIMEOUT_S, memory_bytes=MEMORY_BYTES)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._kept = lru_cache(maxsize=KEPT)(self._drawn)

    async def page(self, document: Document, number: int, text: str, span: Span) -> PageImage:
        """As `ingest.pdf.page_image`, of the document's file. Raises OriginalNotFound where that is not there as it
        was read, SourceError."""
        async with self._turn:
            return await asyncio.to_thread(self._page, document, number, text, span)

    def close(self) -> None:
        self._workers.close()

    def _page(self, document: Document, number: int, text: str, span: Span) -> PageImage:
        return self._kept(original(document).path, document.content_hash, number, text, span)

    def _drawn(self, file: Path, _content_hash: str, number: int, text: str, span: Span) -> PageImage:
        try:
            return self._workers.draw(file, number, text, span).result()
        except ParserBug as bug:
            raise SourceCorrupt(f"Page {number} of {file.name} cannot be drawn ({bug.error}).") from bug
