"""A file on its way through the stages of a run, and what the run has done so far."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from ingest.opened import Opened
from ingest.report import FileResult, Report
from ingest.sources import Source
from ingest.workers import unreadable
from rag.code.outline import Outline
from rag.ports import Vectors, Write
from rag.types import Document, Passage


def hash_of(source: Source) -> str:
    """Of its bytes. Raises SourceError."""
    try:
        with source.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(source.name, error) from error


@dataclass(slots=True, eq=False)
class Work:
    """``place`` is the container that it comes from, or, where it is ``own``, the one that it is. ``queued`` counts
    the tiles that the embedder has been given."""

    source: Source
    place: Opened | None
    own: bool
    revision: str
    content_hash: str
    current: Document | None
    document: Document | None = None
    outline: Outline | None = None
    tiles: list[Passage] = field(default_factory=list)
    queued: int = 0
    vectors: list[Vectors] = field(default_factory=list)

    def write(self) -> Write:
        """Once it is whole."""
        assert self.document
        return Write(self.document, self.tiles, np.concatenate(self.vectors), self.outline)

    @property
    def whole(self) -> bool:
        return sum(map(len, self.vectors)) == len(self.tiles)


@dataclass(slots=True)
class Tally:
    """``order`` is that of the sources given, with which the report is sorted: files are done in another."""

    results: list[FileResult] = field(default_factory=list)
    parsed: int = 0
    embedded: int = 0
    reused: int = 0
    containers: int = 0
    bytes_done: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    order: dict[str, int] = field(default_factory=dict)

    def spent(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.spent(stage, time.perf_counter() - began)

    def report(self, collection: str) -> Report:
        return Report(
            collection,
            tuple(sorted(self.results, key=self._position)),
            self.parsed,
            self.embedded,
            {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            self.reused,
            self.containers,
        )

    def _position(self, result: FileResult) -> int:
        """Of the file, or of the archive that it was in; what the walk left out comes first."""
        source = result.source
        while source and source not in self.order:
            source = source.rpartition("/")[0]
        return self.order.get(source, -1)
