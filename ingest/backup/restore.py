"""A backup brought into an empty data folder, or its collections into a store that has none of their names.

Everything is checked before anything is written. A collection is made under another name and gets its own when all
of it is there; files come last. What an interrupted restore left is taken away by the next.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from ingest.backup.archive import COLLECTIONS, FILES, Counted, Manifest, checked, reading
from rag import wire
from rag.code import outline as outlines
from rag.data_format import FORMAT, migrate
from rag.errors import BackupUnreadable, CollectionExists, DataTooNew, FingerprintMismatch, NotEmpty
from rag.ports import Store, Write
from rag.types import Document, Passage

SUFFIX = ".restored"  # of a collection's name, while it is made
_ASIDE = ".restoring"  # in the data folder: files that are not all there yet


@dataclass(frozen=True, slots=True)
class Restored:
    created: str
    collections: dict[str, Counted]
    files: int


def restore(folder: Path, store: Store, embedder: str, dimension: int, path: Path) -> Restored:
    """Blocks. Raises BackupUnreadable, DataTooNew, FingerprintMismatch, CollectionExists and NotEmpty before anything
    is changed, and what the store raises."""
    manifest = checked(path)
    _check(manifest, folder, store, embedder, dimension)
    for name, counted in manifest.collections.items():
        _collection(store, path, name, counted)
    _files(folder, path, manifest)
    return Restored(manifest.created, manifest.collections, len(manifest.files))


def _check(manifest: Manifest, folder: Path, store: Store, embedder: str, dimension: int) -> None:
    if (manifest.embedder, manifest.dimension) != (embedder, dimension):
        raise FingerprintMismatch(
            f"The backup's vectors come from {manifest.embedder} ({manifest.dimension} dimensions), "
            f"this openbook uses {embedder} ({dimension}).",
            f"Restore with OPENBOOK_EMBEDDER={manifest.embedder}, then: openbook reindex",
        )
    if manifest.data_format > FORMAT:
        raise DataTooNew.of("The backup", manifest.data_format, manifest.version, FORMAT)
    there = set(store.names())
    for name in sorted(manifest.collections):
        if name + SUFFIX in there:  # an interrupted restore
            store.drop(name + SUFFIX)
        if name in there:
            raise CollectionExists(
                f"There is a collection {name!r} already, and a backup replaces nothing.",
                "Restore into another data folder, or remove it first: openbook rm --all.",
            )
    present = [name for name in manifest.files if (folder / _inside(name)).exists()]
    if present:
        raise NotEmpty(
            f"{folder} holds {_inside(present[0])} already, and a backup replaces nothing.",
            "Restore into an empty data folder: OPENBOOK_DATA_DIR.",
        )


def _collection(store: Store, path: Path, name: str, counted: Counted) -> None:
    index = store.open(name + SUFFIX, create=True)
    with reading(path) as tar:
        prefix = f"{COLLECTIONS}{name}/"
        for member in tar.getnames():
            if member.startswith(prefix) and member.endswith(".jsonl"):
                index.put_all(_writes(tar, member, name))
    documents, passages = index.size()
    if Counted(documents, passages) != counted:
        raise BackupUnreadable(
            f"Of collection {name!r} {documents} documents and {passages} passages arrived; the backup tells of "
            f"{counted.documents} and {counted.passages}."
        )
    store.rename(name + SUFFIX, name)


def _writes(tar: tarfile.TarFile, member: str, collection: str) -> list[Write]:
    packed = _opened(tar, member.removesuffix(".jsonl") + ".npy").read()
    vectors = np.load(io.BytesIO(packed), allow_pickle=False)
    writes, at = [], 0
    for line in _opened(tar, member):
        told = json.loads(line)
        document = wire.load(Document, {**told["document"], "collection": collection})
        passages = tuple(wire.load(Passage, each) for each in told["passages"])
        outline = outlines.load(told["outline"]) if told["outline"] else None
        writes.append(Write(document, passages, vectors[at : at + len(passages)], outline))
        at += len(passages)
    return writes


def _files(folder: Path, path: Path, manifest: Manifest) -> None:
    aside = folder / _ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    with reading(path) as tar:
        for name in manifest.files:
            target = aside / _inside(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                shutil.copyfileobj(_opened(tar, name), file)
                file.flush()
                os.fsync(file.fileno())
    migrate(aside, manifest.data_format)
    for name in manifest.files:
        target = folder / _inside(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        (aside / _inside(name)).replace(target)
    shutil.rmtree(aside, ignore_errors=True)


def _inside(name: str) -> PurePosixPath:
    """Below the data folder, whatever a backup that somebody made by hand says."""
    path = PurePosixPath(name.removeprefix(FILES))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise BackupUnreadable(f"{name!r} is no place in a data folder.", "Use another backup.")
    return path


def _opened(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    data = tar.extractfile(name)
    assert data is not None  # it has been checked
    return data
