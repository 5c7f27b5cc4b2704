"""Removal of documents whose files have gone (ingest/gone.py), at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ingest.gone import gone
from ingest.pipeline import Event
from ingest.report import FileResult, Report
from rag.errors import CollectionNotFound
from rag.ports import Store
from rag.types import Document


def pruned(
    events: Iterator[Event], store: Store, collection: str, roots: Sequence[Path], *, dry: bool = False
) -> Iterator[Event]:
    """The events of a run over ``roots``; before the report, what has gone from them is removed (told, if dry).

    Raises SourceMissing as ``gone`` does, before anything is read.
    """
    gone(_documents(store, collection), roots)
    results: list[FileResult] = []
    for event in events:
        if isinstance(event, FileResult):
            results.append(event)
        if not isinstance(event, Report):
            yield event
            continue
        removed = []
        for document in _found_gone(store, collection, roots, results):
            if not dry:
                store.open(collection).remove([document.id])
            removed.append(_removed(document))
            yield removed[-1]
        yield replace(event, files=(*event.files, *removed))


def _found_gone(
    store: Store, collection: str, roots: Sequence[Path], results: Sequence[FileResult]
) -> list[Document]:
    seen = {result.source for result in results}
    # An archive of which something was left out may hold more than was seen: a limit may have been reached.
    left_out = [result.source for result in results if result.status in ("failed", "skipped")]
    partly = {source[:at] for source in left_out for at, character in enumerate(source) if character == "/"}
    unpacked = seen - partly - set(left_out)
    return gone(_documents(store, collection), roots, seen=seen, unpacked=unpacked)


def _documents(store: Store, collection: str) -> list[Document]:
    try:
        return store.open(collection).documents()
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
