"""A backup brought into an empty data folder, or its collections into a store that has none of their names.

Everything is checked before anything is written. Then all of it is made aside: files in a hidden folder of the data
folder, collections under names that nobody has, which a record in that folder tells. When all is there, the record
says so, and each gets its own name. What a restore that was interrupted before that moment has made, the next one takes
away, and begins again; one that was interrupted later it brings to its end.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from ingest.backup.archive import COLLECTIONS, FILES, Counted, Manifest, checked, reading
from rag import durable, wire
from rag.code import outline as outlines
from rag.data_format import FORMAT, migrate
from rag.errors import (
    BackupUnreadable,
    CollectionExists,
    DataTooNew,
    DiskFull,
    FingerprintMismatch,
    NotEmpty,
    RagError,
    StoreUnavailable,
)
from rag.ports import Store, Write
from rag.types import Document, Passage

_ASIDE = ".restoring"  # in the data folder
_RECORD, _MADE = "restore.json", "files"  # in that folder
_REPLACES_NOTHING = "already, and a backup replaces nothing."


@dataclass(frozen=True, slots=True)
class Restored:
    created: str
    collections: dict[str, Counted]
    files: int


@dataclass(frozen=True, slots=True)
class _Begun:
    """``backup`` is the digest of its manifest; ``collections`` are what they are called aside, by their own names;
    ``whole``: all is made, and gets its names."""

    backup: str
    collections: dict[str, str]
    whole: bool = False


def restore(folder: Path, store: Store, embedder: str, dimension: int, path: Path) -> Restored:
    """Blocks. Raises BackupUnreadable, DataTooNew, FingerprintMismatch, CollectionExists and NotEmpty before anything
    is changed, DiskFull, StoreUnavailable, and what the store raises."""
    manifest = checked(path)
    _check_kind(manifest, embedder, dimension)
    aside, backup = folder / _ASIDE, _digest(manifest)
    begun = _begun(aside)
    if begun is None or not begun.whole:
        _clear(store, aside, begun)
        _check_room(manifest, folder, store)
        names = {name: f"restoring-{uuid.uuid4().hex}" for name in manifest.collections}
        begun = _made(store, aside, path, manifest, _Begun(backup, names))
    elif begun.backup != backup:
        raise NotEmpty(
            f"In {folder} the restore of another backup was interrupted when all of it was there.",
            "Restore that one again, which ends it, or use an empty data folder: OPENBOOK_DATA_DIR.",
        )
    _name_collections(store, begun)
    _name_files(folder, aside, manifest)
    with _writing(folder):
        shutil.rmtree(aside / _MADE, ignore_errors=True)
        shutil.rmtree(aside)  # the record goes last: with it, all can be done again
    return Restored(manifest.created, manifest.collections, len(manifest.files))


def _check_kind(manifest: Manifest, embedder: str, dimension: int) -> None:
    if (manifest.embedder, manifest.dimension) != (embedder, dimension):
        raise FingerprintMismatch(
            f"The backup's vectors come from {manifest.embedder} ({manifest.dimension} dimensions), "
            f"this openbook uses {embedder} ({dimension}).",
            f"Restore with OPENBOOK_EMBEDDER={manifest.embedder}, then: openbook reindex",
        )
    if manifest.data_format > FORMAT:
        raise DataTooNew.of("The backup", manifest.data_format, manifest.version, FORMAT)


def _check_room(manifest: Manifest, folder: Path, store: Store) -> None:
    for name in sorted(manifest.collections.keys() & set(store.names())):
        raise _there(name)
    for name in manifest.files:
        if (folder / _inside(name)).exists():
            raise _holds(folder, name)


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(json.dumps(asdict(manifest), sort_keys=True).encode()).hexdigest()


def _begun(aside: Path) -> _Begun | None:
    """Before the record is written, nothing is made."""
    try:
        return wire.load(_Begun, json.loads((aside / _RECORD).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreUnavailable(
            f"{aside / _RECORD} does not say what an interrupted restore has made: {error}.",
            "Restore into an empty data folder: OPENBOOK_DATA_DIR.",
        ) from error


def _clear(store: Store, aside: Path, begun: _Begun | None) -> None:
    """What is half made: the collections first, which the record tells."""
    for name in set(begun.collections.values() if begun else ()) & set(store.names()):
        store.drop(name)
    with _writing(aside.parent):
        if aside.exists():
            shutil.rmtree(aside)


def _made(store: Store, aside: Path, path: Path, manifest: Manifest, begun: _Begun) -> _Begun:
    try:
        _record(aside, begun)
        for name, counted in manifest.collections.items():
            _collection(store, path, name, counted, begun.collections[name])
        _files(aside / _MADE, path, manifest)
        return _record(aside, replace(begun, whole=True))
    except BaseException:
        with suppress(RagError):  # else the next restore does it
            _clear(store, aside, begun)
        raise


def _record(aside: Path, begun: _Begun) -> _Begun:
    with _writing(aside.parent):
        durable.write(aside / _RECORD, json.dumps(wire.dump(begun)))
    return begun


def _collection(store: Store, path: Path, name: str, counted: Counted, aside: str) -> None:
    index = store.open(aside, create=True)
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


def _files(made: Path, path: Path, manifest: Manifest) -> None:
    with reading(path) as tar, _writing(made.parent.parent):
        made.mkdir()
        for name in manifest.files:
            target = made / _inside(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                shutil.copyfileobj(_opened(tar, name), file)
                file.flush()
                os.fsync(file.fileno())
    migrate(made, manifest.data_format)
    with _writing(made.parent.parent):
        for folder, _, _ in os.walk(made):
            durable.sync(Path(folder))


def _name_collections(store: Store, begun: _Begun) -> None:
    there = set(store.names())
    for name, aside in begun.collections.items():
        if aside in there:
            if name in there:  # since the interruption
                raise _there(name)
            store.rename(aside, name)


def _name_files(folder: Path, aside: Path, manifest: Manifest) -> None:
    with _writing(folder):
        for name in manifest.files:
            made, target = aside / _MADE / _inside(name), folder / _inside(name)
            if made.exists():
                if target.exists():  # since the interruption
                    raise _holds(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                made.replace(target)
        places = {parent for name in manifest.files for parent in (folder / _inside(name)).parents}
        for place in places - set(folder.parents):
            durable.sync(place)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Below this data folder."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"The disk of {folder} is full: the restore was given up.",
                "Make room and restore again, or use a data folder on another disk: OPENBOOK_DATA_DIR.",
            ) from error
        raise StoreUnavailable(
            f"The backup cannot be brought into {folder}: {error}.",
            "Mend that and restore again, or use a data folder on another disk: OPENBOOK_DATA_DIR.",
        ) from error


def _there(collection: str) -> CollectionExists:
    return CollectionExists(
        f"There is a collection {collection!r} {_REPLACES_NOTHING}",
        "Restore into another data folder, or remove it first: openbook rm --all.",
    )


def _holds(folder: Path, name: str) -> NotEmpty:
    return NotEmpty(
        f"{folder} holds {_inside(name)} {_REPLACES_NOTHING}",
        "Restore into an empty data folder: OPENBOOK_DATA_DIR.",
    )


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
