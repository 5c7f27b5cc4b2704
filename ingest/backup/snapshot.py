"""Everything of a data folder that cannot be made again, in one file, while others read and write.

Each document is taken as it is visible at one moment, whole; databases by SQLite's own backup. What is left out: what
is made again when it is needed (caches, logs), and who owns the folder.
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
from pathlib import Path

import numpy as np

from ingest.backup.archive import COLLECTIONS, FILES, FORMAT, Archive, Counted, Manifest, writing
from rag import data_format, wire
from rag.code import outline as outlines
from rag.ports import Index, Store, Vectors, Write
from rag.types import Document

PART = 4096  # passages in one part of a collection
_AGAIN = 5  # times that a document is read which is replaced meanwhile
_LEFT_OUT = {
    *("cache", "logs", "collections", "owner.lock", "owner.json", "owner.json.new"),
    data_format.FILE,  # the manifest has the number
}
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
    with writing(path, manifest) as archive:
        for name in store.names():
            manifest.collections[name] = _collection(archive, name, store.open(name, any_embedder=True))
        for file in _files(folder, path):
            _file(archive, folder, file)
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
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if inside.parts[0] in _LEFT_OUT or inside.parts[0].startswith(".") or path.is_symlink():
            continue
        if path.name.endswith(("-wal", "-shm", "-journal", ".part", ".new")) or path == target:
            continue
        if path.is_file():
            yield path


def _file(archive: Archive, folder: Path, path: Path) -> None:
    name = FILES + path.relative_to(folder).as_posix()
    try:
        with path.open("rb") as file:
            database = file.read(len(_SQLITE)) == _SQLITE
        if not database:
            archive.add_file(name, path)
            return
    except FileNotFoundError:  # an upload that was removed meanwhile
        return
    with tempfile.TemporaryDirectory() as aside:
        copy = Path(aside) / "copy.db"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        archive.add_file(name, copy)
