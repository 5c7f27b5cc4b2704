"""Removal of documents whose files have gone (ingest/gone.py), at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.gone import Standing, check, gone, on_disk
from ingest.pipeline import Event
from ingest.report import FileResult, Report
from rag.errors import CollectionNotFound
from rag.ports import Index, Store
from rag.types import Document


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a collection may have gone: documents from below ``roots``, and from below ``folders`` of repositories,
    which may be missing on the disk. ``documents`` are those looked at, by default all."""

    roots: Sequence[Path]
    folders: Sequence[Path] = ()
    standing: Standing = on_disk
    documents: Callable[[Index], list[Document]] = lambda index: index.documents()


def pruned(
    events: Iterator[Event], store: Store, collection: str, scope: Scope, *, dry: bool = False
) -> Iterator[Event]:
    """The events of a run; before the report, what has gone is removed (told, if dry).

    Raises SourceMissing as ``check`` does, before anything is read.
    """
    if scope.roots:
        check(_documents(store, collection, scope), scope.roots)
    results: list[FileResult] = []
    for event in events:
        if isinstance(event, FileResult):
            results.append(event)
        if not isinstance(event, Report):
            yield event
            continue
        removed = []
        for document in _found_gone(_documents(store, collection, scope), scope, results):
            if not dry:
                store.open(collection).remove([document.id])
            removed.append(_removed(document))
            yield removed[-1]
        yield replace(event, files=(*event.files, *removed))


def _found_gone(documents: Sequence[Document], scope: Scope, results: Sequence[FileResult]) -> list[Document]:
    check(documents, scope.roots)
    seen = {result.source for result in results}
    # An archive of which something was left out may hold more than was seen: a limit may have been reached.
    left_out = [result.source for result in results if result.status in ("failed", "skipped")]
    partly = {source[:at] for source in left_out for at, character in enumerate(source) if character == "/"}
    unpacked = seen - partly - set(left_out)
    roots = (*scope.roots, *scope.folders)
    return gone(documents, roots, seen=seen, unpacked=unpacked, standing=scope.standing)


def _documents(store: Store, collection: str, scope: Scope) -> list[Document]:
    try:
        return scope.documents(store.open(collection))
    except CollectionNotFound:
        return []


def _removed(document: Document) -> FileResult:
    return FileResult(
        document.name,
        document.source,
        "removed",
        document.pages,
        document.passages,
        document.tokens,
        reason="its file has gone",
    )
