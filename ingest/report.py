"""What happened to every file of a run, as values; nothing is skipped in silence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from rag.types import Document

Status = Literal["added", "replaced", "unchanged", "removed", "skipped", "failed"]
WRITTEN: tuple[Status, ...] = ("added", "replaced")


@dataclass(frozen=True, slots=True)
class FileResult:
    """``reason`` and ``hint`` say why a file was skipped or failed; ``error`` is the error's code. Of ``pages``,
    ``ocr_pages`` were read from their image and ``empty_pages`` gave no text."""

    name: str
    source: str
    status: Status
    pages: int | None = None
    passages: int = 0
    tokens: int = 0
    reason: str = ""
    hint: str = ""
    error: str = ""
    ocr_pages: int = 0
    empty_pages: int = 0


@dataclass(frozen=True, slots=True)
class Removal:
    """``files`` are uploaded ones that were deleted, since nothing in the index is from them any more."""

    collection: str
    removed: tuple[Document, ...]
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Another run writes; this one begins when that ends. Only where several can be asked for: the service."""

    reason: str = "another ingest or removal is at work"


@dataclass(frozen=True, slots=True)
class Found:
    """The first event of a run: how many files there are to look at, and their bytes."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Progress:
    """``bytes_done`` counts the files that are finished; ``passages_done`` those embedded of this file. Several files
    are worked on at a time: their events mix."""

    name: str
    stage: Literal["parse", "embed", "store"]
    files_done: int
    bytes_done: int
    passages_done: int = 0
    passages: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The last event of a run. ``parsed`` and ``embedded`` count files and passages that cost work, ``reused``
    passages whose vectors were known, ``containers`` the archives and e-mails that were opened; ``commits`` are those
    that the collection is at now, by the folder of the repository.

    ``seconds`` are those that each stage was busy, in all processes together; the stages overlap, so "total", by
    the clock, can be less than their sum.
    """

    collection: str
    files: tuple[FileResult, ...]
    parsed: int
    embedded: int
    seconds: dict[str, float] = field(default_factory=dict)
    reused: int = 0
    containers: int = 0
    commits: dict[str, str] = field(default_factory=dict)

    def count(self, *statuses: Status) -> int:
        by_status = Counter(result.status for result in self.files)
        return sum(by_status[status] for status in statuses)

    @property
    def pages(self) -> tuple[int, int, int]:
        """Of the documents written: pages, those read from their image, and those that gave no text."""
        written = [result for result in self.files if result.status in WRITTEN]
        return (
            sum(result.pages or 0 for result in written),
            sum(result.ocr_pages for result in written),
            sum(result.empty_pages for result in written),
        )

    @property
    def failed(self) -> tuple[FileResult, ...]:
        return tuple(result for result in self.files if result.status == "failed")
