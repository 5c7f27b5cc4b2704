"""Everything of a data folder that cannot be made again, in one file, while others read and write.

Each document is taken as it is visible at one moment, whole; databases by SQLite's own backup. What is left out: what
is made again when it is needed (caches, logs), what has only begun (an upload on its way in), and who owns the folder.

Uploads come first, then the jobs that tell of them, then the collections that they end in: what is done meanwhile may
be missing as a whole, but no job is done whose documents are missing.
"""

from __future__ import annotations

import io
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import numpy as np

from ingest.backup.archive import (
    COLLECTIONS,
    FILES,
    FORMAT,
    Archive,
    Counted,
    Manifest,
    full,
    part_of,
    writing,
)
from rag import data_format, wire
from rag.code import outline as outlines
from rag.errors import StoreUnavailable
from rag.ports import Index, Store, Vectors, Write
from rag.types import Document

PART = 4096  # passages in one part of a collection
_AGAIN = 5  # times that a document is read which is replaced meanwhile
_UPLOADS = "files"  # kept as they were sent, whatever they are called (ingest/uploads.py)
_LEFT_OUT = {  # by their paths in the data folder
    *("cache", "logs", "collections", "unpacked", "owner.lock", "owner.json"),
    *(f"{_UPLOADS}/.incoming", f"{_UPLOADS}/.dropped"),
    data_format.FILE,  # the manifest has the number
}
_UNFINISHED = ("-wal", "-shm", "-journal", ".part", ".new")  # what SQLite and openbook write beside a file
_SQLITE = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class BackedUp:
    """``bytes`` of the file; ``files`` beside the collections."""

    path: str
    bytes: int
    collections: dict[str, Counted]
    files: int


def back_up(folder: Path, store: Store, embedder: str, dimension: int, path: Path) -> BackedUp:
    """Blocks. Raises DiskFull, BackupUnreadable and StoreUnavailable; then there is no file."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(FORMAT, version("openbook"), now, embedder, dimension, data_format.FORMAT)
    folder, target = folder.resolve(), path.parent.resolve() / path.name
    with writing(path, manifest) as archive:
        for file in _files(folder, target):
            _file(archive, folder, file, target)
        for name in store.names():
            manifest.collections[name] = _collection(archive, name, store.open(name, any_embedder=True))
    return BackedUp(str(path), path.stat().st_size, manifest.collections, len(manifest.files))


def _collection(archive: Archive, name: str, index: Index) -> Counted:
    documents = passages = 0
    for at, part in enumerate(_parts(index)):
        base = f"{COLLECTIONS}{name}/{at:06d}"
        archive.add(f"{base}.jsonl", "".join(_line(write) + "\n" for write in part).encode())
        archive.add(f"{base}.npy", _packed(np.concatenate([write.vectors for write in part])))
        documents += len(part)
        passages += sum(len(write.passages) for write in part)
    return Counted(documents, passages)


def _parts(index: Index) -> Iterator[list[Write]]:
    part: list[Write] = []
    held = 0
    for document in index.documents():
        if write := whole(index, document):
            part.append(write)
            held += len(write.passages)
        if held >= PART:
            yield part
            part, held = [], 0
    if part:
        yield part


def whole(index: Index, document: Document) -> Write | None:
    """As it is visible now, in one revision; None where it has gone meanwhile."""
    for _ in range(_AGAIN):
        passages = index.read(document.id)
        if passages and passages[0].revision == document.revision:
            try:
                return Write(
                    document, passages, index.vectors(passages), index.outlines([document]).get(document.id)
                )
            except KeyError:  # replaced between two steps
                pass
        now = index.documents([document.id])
        if not now:
            return None
        document = now[0]
    return None


def _line(write: Write) -> str:
    line = {
        "document": wire.dump(write.document),
        "passages": [wire.dump(passage) for passage in write.passages],
        "outline": outlines.dump(write.outline) if write.outline else None,
    }
    return json.dumps(line, ensure_ascii=True)


def _packed(vectors: Vectors) -> bytes:
    packed = io.BytesIO()
    np.save(packed, vectors, allow_pickle=False)
    return packed.getvalue()


def _files(folder: Path, target: Path) -> Iterator[Path]:
    own = {target, part_of(target)}
    for top in sorted(_entries(folder), key=lambda path: (path.name != _UPLOADS, path)):
        yield from (path for path in _below(top, folder) if path not in own)


def _below(path: Path, folder: Path) -> Iterator[Path]:
    """``path`` itself, or the files in it, before those of its folders: an upload's record is read before its files,
    which may leave for their places meanwhile; those are looked at later."""
    if path.is_symlink() or _is_left_out(PurePosixPath(path.relative_to(folder))):
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        for entry in sorted(_entries(path), key=lambda entry: (entry.is_dir(), entry.name)):
            yield from _below(entry, folder)


def _is_left_out(inside: PurePosixPath) -> bool:
    if inside.as_posix() in _LEFT_OUT or inside.parts[0].startswith("."):
        return True
    return inside.parts[0] != _UPLOADS and inside.name.endswith(_UNFINISHED)


def _entries(folder: Path) -> list[Path]:
    """None of a folder that has gone meanwhile. Raises StoreUnavailable."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unreadable(folder, error) from error


def _file(archive: Archive, folder: Path, path: Path, target: Path) -> None:
    inside = path.relative_to(folder)
    name = FILES + inside.as_posix()
    try:
        if not _is_database(path) or inside.parts[0] == _UPLOADS:
            archive.add_file(name, path)
            return
        # Where the archive is to lie there is room; the system's folder for such files may be small.
        with tempfile.TemporaryDirectory(prefix=".openbook-backup-", dir=target.parent) as aside:
            copy = Path(aside) / "copy.db"
            _copy(path, copy, target)
            archive.add_file(name, copy)
    except FileNotFoundError:
        if path.exists():
            raise
        # else it was removed meanwhile


def _is_database(path: Path) -> bool:
    """Raises FileNotFoundError and StoreUnavailable."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from error


def _copy(path: Path, to: Path, target: Path) -> None:
    """Raises FileNotFoundError, DiskFull and StoreUnavailable."""
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as source,  # without making one
            closing(sqlite3.connect(to)) as copy,
        ):
            source.backup(copy)
    except sqlite3.Error as error:
        if not path.exists():
            raise FileNotFoundError(path) from error
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise full(target) from error
        raise StoreUnavailable(
            f"The database {path} cannot be copied: {error}.",
            "If it is damaged, move it away: what it holds is lost, all else is backed up.",
        ) from error


def _unreadable(path: Path, error: OSError) -> StoreUnavailable:
    return StoreUnavailable(
        f"{path} cannot be read: {error.strerror}.",
        "Let this user read it, or move it away if it is damaged; then back up again.",
    )
