"""Passages of many files to vectors, in batches of one size, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from ingest.work import Tally, Work
from rag.indexed import dense_text
from rag.ports import Embedder, Vectors

EMBED_BATCH = 128  # passages between two signs of progress: seconds on a CPU


@dataclass(frozen=True, slots=True)
class Part:
    """Of a batch: ``count`` tiles of one file from ``first`` on."""

    work: Work
    first: int
    count: int


class Batches:
    """One batch is embedded at a time; a file's tiles may be spread over several, and a batch over many files.
    Each of ``machines`` has its part of a batch, as large as that of one alone."""

    def __init__(self, embedder: Embedder, tally: Tally, machines: int = 1) -> None:
        self._embedder, self._tally = embedder, tally
        self._size = machines * EMBED_BATCH
        self._waiting: deque[Work] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embed")
        self.running: Future[Vectors] | None = None
        self.parts: list[Part] = []

    def add(self, work: Work) -> None:
        self._waiting.append(work)

    def drop(self, work: Work) -> None:
        if work in self._waiting:
            self._waiting.remove(work)

    def begin(self, *, partial: bool) -> list[Part]:
        """Starts a batch and says what is in it, if none is running and a whole one is there; or, if a ``partial``
        one will do, anything."""
        ready = sum(len(work.tiles) - work.queued for work in self._waiting)
        if self.running or not ready or (ready < self._size and not partial):
            return []
        self.parts = []
        texts: list[str] = []
        while self._waiting and len(texts) < self._size:
            work = self._waiting[0]
            assert work.document
            some = work.tiles[work.queued : work.queued + self._size - len(texts)]
            texts += [dense_text(work.document, tile) for tile in some]
            self.parts.append(Part(work, work.queued, len(some)))
            work.queued += len(some)
            if work.queued == len(work.tiles):
                self._waiting.popleft()
        self.running = self._thread.submit(self._vectors, texts)
        return self.parts

    def finish(self) -> list[Work]:
        """The files that were in the batch, once it is done; each has its vectors. Raises what the embedder raised."""
        assert self.running
        future, self.running = self.running, None
        vectors, at = future.result(), 0
        for part in self.parts:
            part.work.vectors.append(vectors[at : at + part.count])
            at += part.count
        return [part.work for part in self.parts]

    def close(self) -> None:
        """Waits for the batch at hand."""
        self._thread.shutdown(cancel_futures=True)

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        before: int = getattr(self._embedder, "reused", 0)  # as rag.models.embed_cache counts them
        with self._tally.timed("embed"):
            vectors = self._embedder.embed(texts)
        reused = getattr(self._embedder, "reused", 0) - before
        self._tally.reused += reused
        self._tally.embedded += len(texts) - reused
        return vectors
