"""Archives and e-mails that are being read as the folders of files that they are."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ingest.containers.unpack import Budget, is_document
from ingest.outcome import unicode
from ingest.report import FileResult, Status
from ingest.sources import Source
from ingest.workers import Unpacked

MAX_DEPTH = 3  # archives within archives


@dataclass(slots=True, eq=False)
class Opened:
    """``left`` counts the files within, and the container as a document of its own, that have no result yet.
    ``budget`` counts in the outermost for all of them."""

    source: Source
    place: Opened | None
    content_hash: str
    folder: Path
    budget: Budget
    left: int = 0
    unpacking: bool = True
    own: FileResult | None = None
    error: FileResult | None = None
    results: list[FileResult] = field(default_factory=list)  # of all files below it, at any depth

    @classmethod
    def begin(cls, source: Source, place: Opened | None, content_hash: str, scratch: Path | None) -> Opened:
        """Raises OSError."""
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="openbook-", dir=scratch))
        return cls(source, place, content_hash, folder, Budget(source.size))

    @property
    def outermost(self) -> Opened:
        return self.place.outermost if self.place else self

    @property
    def depth(self) -> int:
        return 1 + (self.place.depth if self.place else 0)

    def refusal(self, media_type: str) -> str | None:
        """Why no container of this type may be opened within it. An e-mail may, for its text: it is small itself, and
        names what of its attachments is not taken."""
        if self.depth >= MAX_DEPTH:
            return f"deeper than {MAX_DEPTH} archives within each other"
        return None if is_document(media_type) else self.outermost.budget.full

    @property
    def done(self) -> bool:
        return not self.unpacking and not self.left

    def inside(self, unpacked: Unpacked) -> list[Source]:
        """What was in it, as a folder's files would be; and it is not being unpacked any more."""
        self.unpacking = False
        root, files = self.outermost, len(unpacked.inner) + len(unpacked.refused)
        root.budget = root.budget.less(files, unpacked.total)
        found = [
            Source(
                path=inner.path,
                uri=f"{self.source.uri}/{quote(inner.name)}",
                media_type=inner.media_type,
                name=unicode(f"{self.source.name}/{inner.name}"),
                explicit=False,
                size=inner.size,
            )
            for inner in unpacked.inner
        ]
        self.left += len(found)
        return found

    def refused(self, unpacked: Unpacked) -> list[FileResult]:
        return [
            FileResult(
                unicode(f"{self.source.name}/{refused.name}"),
                f"{self.source.uri}/{quote(refused.name)}",
                "skipped",
                reason=refused.reason,
            )
            for refused in unpacked.refused
        ]

    def note(self, result: FileResult) -> None:
        self.results.append(result)
        if self.place:
            self.place.note(result)

    @property
    def worth_remembering(self) -> bool:
        """What failed is to be tried again, or to be known by its own record; and what others left no budget for may
        find it another time."""
        short = self.place is not None and self.outermost.budget.full is not None
        return not short and not self.error and all(result.status != "failed" for result in self.results)

    def result(self) -> FileResult:
        """Its own, where it is a document too; else what became of its files, taken together."""
        if self.error:
            return self.error
        if self.own:
            return self.own
        statuses = [result.status for result in self.results]
        written = [status for status in statuses if status in ("added", "replaced")]
        if not statuses:
            return FileResult(self.source.name, self.source.uri, "skipped", reason="nothing to read in it")
        known = "unchanged" in statuses or "replaced" in written
        status: Status = ("replaced" if known else "added") if written else "unchanged"
        return FileResult(self.source.name, self.source.uri, status)

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
