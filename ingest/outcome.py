"""What is said about files: results of a run from errors, documents and what the walk of a folder left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ingest.report import FileResult, Status
from ingest.sources import Found, Skipped, Source
from ingest.workers import ParserBug
from rag.errors import SourceEmpty, SourceError, SourceMissing, SourceUnsupported
from rag.types import Document

_DATA = ("json", "jsonl", "xml", "toml", "yaml")  # ends of media types


def check_there(paths: Sequence[Path]) -> None:
    """Raises SourceMissing for the first path that is not there, or that cannot be looked at."""
    for path in paths:
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            broken = "leads nowhere" if path.is_symlink() else "does not exist"
            raise SourceMissing(f"{path} {broken}.", "Check the path, and where you are.") from error
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceMissing(
                f"{path} cannot be looked at: {reason}.", "Check the path and the permissions of its folders."
            ) from error


def of_document(source: Source, status: Status, document: Document) -> FileResult:
    return FileResult(
        source.name,
        source.uri,
        status,
        document.pages,
        document.passages,
        document.tokens,
        ocr_pages=document.ocr_pages,
        empty_pages=document.empty_pages,
    )


def of_error(source: Source, error: BaseException) -> FileResult:
    """A parser's bug is the file's failure. Raises the error where it is no file's."""
    if isinstance(error, ParserBug):
        error = bug(source, error.error)
    if not isinstance(error, SourceError):
        raise error
    # A folder holds what it holds, photographs and templates without words too; a file that was named was meant.
    nothing_there = isinstance(error, SourceEmpty) and _may_be_empty(source.media_type)
    passed_over = (isinstance(error, SourceUnsupported) or nothing_there) and not source.explicit
    return FileResult(
        source.name,
        source.uri,
        "skipped" if passed_over else "failed",
        reason=error.message,
        hint=error.hint,
        error=error.code,
    )


def _may_be_empty(media_type: str) -> bool:
    """Pictures, and text and data as such: of a PDF or an office document, text may have been lost."""
    return media_type.startswith(("image/", "text/")) or media_type.endswith(_DATA)


def bug(source: Source, what: str) -> SourceError:
    return SourceError(f"{source.name}: {what}", "This is a bug in openbook.")


def of_skipped(skipped: Skipped) -> FileResult:
    status: Status = "failed" if skipped.explicit else "skipped"
    return FileResult(skipped.name, skipped.path.as_uri(), status, reason=skipped.reason)


def beside_former(result: FileResult, former: Document | None) -> FileResult:
    """Says so where a file that cannot be used now was ingested before: that version can still be found."""
    if former is None:
        return result
    reason = result.reason if not result.reason or result.reason[-1] in ".!?" else f"{result.reason}."
    stays = f"The version of {former.ingested_at} stays."
    return replace(result, reason=f"{reason} {stays}".strip())


def named(found: Found) -> Found:
    """With names that can be stored and sent: a file's name on disk may be bytes that are no UTF-8."""
    return Found(
        tuple(replace(source, name=unicode(source.name)) for source in found.sources),
        tuple(replace(skipped, name=unicode(skipped.name)) for skipped in found.skipped),
    )


def unicode(name: str) -> str:
    return name.encode(errors="replace").decode()


def uri_of(skipped: Skipped) -> str:
    """A link is left as it is: what it leads to is another source, with a result of its own."""
    folder = os.path.realpath(skipped.path.parent)  # Path.resolve raises where links go in a circle
    return Path(folder, skipped.path.name).as_uri()
