"""The file of a backup: a tar whose last member says what the others hold, so that one that was cut is noticed.

Uncompressed, since vectors do not compress, and any tar can list it. A new one gets its name when it is whole.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from rag import wire
from rag.errors import BackupUnreadable, DiskFull

FORMAT = 1
MANIFEST = "manifest.json"
COLLECTIONS, FILES = "collections/", "files/"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Counted:
    """Of a collection."""

    documents: int
    passages: int


@dataclass(slots=True)
class Manifest:
    """``members`` are the SHA-256 of each, by name; ``created`` is ISO 8601, UTC; ``data_format`` that of the files
    (rag/data_format.py)."""

    format: int
    version: str
    created: str
    embedder: str
    dimension: int
    data_format: int = 0
    collections: dict[str, Counted] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[str]:
        return [name for name in self.members if name.startswith(FILES)]


class Archive:
    """One that is being written."""

    def __init__(self, tar: tarfile.TarFile, manifest: Manifest) -> None:
        self._tar, self.manifest = tar, manifest

    def add(self, name: str, data: bytes) -> None:
        self._add(name, io.BytesIO(data), len(data))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self._add(name, file, os.fstat(file.fileno()).st_size)

    def _add(self, name: str, file: IO[bytes], size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        hashing = _Hashing(file)
        self._tar.addfile(member, hashing)
        self.manifest.members[name] = hashing.digest.hexdigest()


class _Hashing:
    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def part_of(path: Path) -> Path:
    """What an archive is called until it is whole."""
    return path.with_name(path.name + ".part")


@contextmanager
def writing(path: Path, manifest: Manifest) -> Iterator[Archive]:
    """Raises DiskFull, and BackupUnreadable where the file cannot be made."""
    part = part_of(path)
    try:
        with part.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)  # it holds what the collections hold
            with tarfile.open(fileobj=file, mode="w") as tar:
                archive = Archive(tar, manifest)
                yield archive
                archive.add(MANIFEST, json.dumps(asdict(manifest), ensure_ascii=False, indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        part.unlink(missing_ok=True)


def _failed(path: Path, error: OSError) -> DiskFull | BackupUnreadable:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return full(path)
    return BackupUnreadable(
        f"{path} cannot be written: {error}", "Name a file in a folder that you can write."
    )


def full(path: Path) -> DiskFull:
    return DiskFull(
        f"The disk of {path.parent} is full: the backup was given up.", "Make room, or name another disk."
    )


@contextmanager
def reading(path: Path) -> Iterator[tarfile.TarFile]:
    """Raises BackupUnreadable."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except (OSError, EOFError, tarfile.TarError) as error:
        raise BackupUnreadable(f"{path} cannot be read as a backup: {error}", "Is it whole?") from error


def checked(path: Path) -> Manifest:
    """Reads all of it. Raises BackupUnreadable where anything is missing or is not as it was written."""
    found: dict[str, str] = {}
    told: bytes | None = None
    with reading(path) as tar:
        for member in tar:
            data = _content(tar, member)
            if member.name == MANIFEST:
                told = data.read()
            else:
                found[member.name] = _digest(data)
    if told is None:
        raise BackupUnreadable(f"{path} is no backup, or was cut short: its last part is missing.")
    manifest = _manifest(path, told)
    wrong = sorted(
        name
        for name in found.keys() | manifest.members.keys()
        if found.get(name) != manifest.members.get(name)
    )
    if wrong:
        raise BackupUnreadable(
            f"{path} is damaged: {', '.join(wrong[:3])} not as written.", "Use another backup."
        )
    return manifest


def _manifest(path: Path, told: bytes) -> Manifest:
    try:
        plain = json.loads(told)
        if plain["format"] > FORMAT:
            raise BackupUnreadable(
                f"{path} was made by openbook {plain['version']}, in a format that this one does not know.",
                "Restore it with that version or a later one.",
            )
        return wire.load(Manifest, plain)
    except (ValueError, KeyError, TypeError) as error:
        raise BackupUnreadable(f"{path} is damaged: {error}", "Use another backup.") from error


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    data = tar.extractfile(member) if member.isreg() else None
    if data is None:
        raise BackupUnreadable(f"{member.name} in it is no file, which no backup holds.")
    return data


def _digest(data: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := data.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
