"""Documents whose files have gone from the folders that they were read from, and their removal.

A document has gone when its file no longer exists. One that is there and is left out now (hidden, too large, not
readable) has not, and neither has one whose folder cannot be looked into.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.pipeline import Event
from ingest.report import FileResult, Report
from rag.errors import CollectionNotFound, SourceMissing
from rag.ports import Store
from rag.types import Document


def pruned(events: Iterator[Event], store: Store, collection: str, roots: Sequence[Path]) -> Iterator[Event]:
    """The events of a run over ``roots``; before the report, what has gone from them is removed.

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
            store.open(collection).remove([document.id])
            removed.append(_removed(document))
            yield removed[-1]
        yield replace(event, files=(*event.files, *removed))


def dry_run(store: Store, collection: str, roots: Sequence[Path]) -> list[FileResult]:
    """What ``pruned`` would remove, as far as that can be told without reading archives."""
    return [_removed(document) for document in gone(_documents(store, collection), roots)]


def _found_gone(
    store: Store, collection: str, roots: Sequence[Path], results: Sequence[FileResult]
) -> list[Document]:
    seen = {result.source for result in results}
    unpacked = {result.source for result in results if result.status not in ("failed", "skipped")}
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


def gone(
    documents: Sequence[Document],
    roots: Sequence[Path],
    *,
    seen: Collection[str] = (),
    unpacked: Collection[str] = (),
) -> list[Document]:
    """Those of ``documents`` from below ``roots`` whose file is not there any more.

    ``unpacked`` are the URIs of archives that have been read to their end, ``seen`` those of what was in them.
    Raises SourceMissing for a root that is missing, and for one that is an empty folder now though documents
    came from it: that is most often a volume that is not mounted.
    """
    found = []
    for root in roots:
        below = [document for document in documents if is_below(document.source, root)]
        _check(root, len(below))
        found += [document for document in below if _is_gone(document.source, seen, unpacked)]
    return list({document.id: document for document in found}.values())


def is_below(source: str, root: Path) -> bool:
    """Whether the file of a source URI is ``root`` or lies below it."""
    uri = Path(os.path.realpath(root)).as_uri()
    return source == uri or source.startswith(uri.rstrip("/") + "/")


def _check(root: Path, documents: int) -> None:
    if not os.path.lexists(root):
        raise SourceMissing(
            f"{root} does not exist, so what has gone from it cannot be told.",
            f"If it was deleted: openbook rm {root}",
        )
    if documents and root.is_dir() and not any(root.iterdir()):
        raise SourceMissing(
            f"{root} is empty, and {documents} documents came from it: is a volume not mounted?",
            f"If it was emptied: openbook rm {root}",
        )


def _is_gone(source: str, seen: Collection[str], unpacked: Collection[str]) -> bool:
    path = Path(unquote(urlsplit(source).path))
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except NotADirectoryError:  # what stood for a folder is a file: an archive
        archive = next(parent for parent in path.parents if os.path.lexists(parent))
        return archive.as_uri() in unpacked and source not in seen
    except OSError:
        return False
    return False
