"""From paths on the command line to the files worth reading, and what was left out, with the reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ingest.classify import is_code, made
from ingest.media_types import ARCHIVES, SNIFF, UNKNOWN, by_name, sniffed
from rag.errors import SourceMissing

MAX_BYTES = 256 * 2**20
# An archive is read piece by piece and may be so many times as large as other files.
_ARCHIVE_FACTOR = 16

OVERRIDE = "; --all-files reads it"  # what is left out for what it is

# Folders that tools make: copies, caches and downloads of what is elsewhere. (Hidden ones go by their name.)
PRUNED = {
    "__pycache__": "compiled Python",
    "node_modules": "installed packages",
    "bower_components": "installed packages",
    "site-packages": "installed packages",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to ingest. ``path`` is absolute with links followed, so a file has one ``uri`` however it was
    named; ``name`` is for people: the path from the given folder on, with that folder's own name."""

    path: Path
    uri: str
    media_type: str
    name: str
    explicit: bool
    size: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """``name`` is as in Source. A folder that was not entered is one entry and ends with a slash."""

    path: Path
    name: str
    reason: str
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    sources: tuple[Source, ...]
    skipped: tuple[Skipped, ...]


def find(paths: Sequence[Path], *, all_files: bool = False, max_bytes: int = MAX_BYTES) -> Found:
    """Files under ``paths``, in the order given and sorted within each folder; those that tools made only with
    ``all_files``. Repositories are read by ingest/repository.

    A file that is named itself is taken even if it is hidden, empty or of unknown type, so that reading it
    gives the error that says why it cannot be used. Raises SourceMissing before anything is looked at.
    """
    for path in paths:
        if not path.exists():
            raise SourceMissing(f"There is no file or folder {path}.", "Check the path, and where you are.")
    walk = Walk(max_bytes, all_files=all_files)
    for path in paths:
        if path.is_dir():
            walk.folder(path, path.resolve().name or "root")
        else:
            walk.file(path, path.name, explicit=True)
    return Found(tuple(walk.sources.values()), tuple(walk.skipped))


def media_type_of(path: Path) -> str:
    """By extension; a file without a known one by its first bytes: PDF, text, or UNKNOWN. Raises OSError."""
    known = by_name(path.name)
    if known:
        return known
    with path.open("rb") as file:
        return sniffed(file.read(SNIFF))


class Walk:
    """Collects the sources below folders, and what is skipped there."""

    def __init__(self, max_bytes: int, *, all_files: bool = False) -> None:
        self.sources: dict[Path, Source] = {}
        self.skipped: list[Skipped] = []
        self._max_bytes, self._all_files = max_bytes, all_files
        self._entered: set[Path] = set()

    def folder(self, path: Path, name: str) -> None:
        real = path.resolve()
        if real in self._entered:
            # A second argument that names the same folder is no news; a link back into the tree is.
            if path.is_symlink():
                self._skip(path, f"{name}/", "a link to a folder that is read already")
            return
        self._entered.add(real)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as exc:
            self._skip(path, f"{name}/", f"cannot be opened ({exc.strerror})")
            return
        for entry in entries:
            self.entry(Path(entry.path), f"{name}/{entry.name}")

    def entry(self, path: Path, name: str) -> None:
        try:
            is_folder = path.is_dir()
        except OSError as exc:
            self._skip(path, name, f"cannot be opened ({exc.strerror})")
            return
        reason = left_out(path) if is_folder else ("hidden" if path.name.startswith(".") else None)
        if reason:
            self._skip(path, f"{name}/" if is_folder else name, reason)
        elif is_folder:
            self.folder(path, name)
        else:
            self.file(path, name, explicit=False)

    def file(self, path: Path, name: str, *, explicit: bool) -> None:
        try:
            # stat first: for a link to itself resolve raises no OSError.
            status, real = path.stat(), path.resolve()
            if real in self.sources:
                self._again(real, path, name, explicit)
                return
            media_type = media_type_of(real) if stat.S_ISREG(status.st_mode) else UNKNOWN
            if not os.access(real, os.R_OK):
                raise PermissionError(13, os.strerror(13))
            reason = None if stat.S_ISREG(status.st_mode) else "not a regular file"
            reason = reason or self._objection(path, status.st_size, media_type, explicit)
        except OSError as exc:
            broken = path.is_symlink() and not path.exists()
            self._skip(
                path, name, "a broken link" if broken else f"cannot be opened ({exc.strerror})", explicit
            )
            return
        if reason:
            self._skip(path, name, reason, explicit)
        else:
            self.sources[real] = Source(real, real.as_uri(), media_type, name, explicit, status.st_size)

    def _objection(self, path: Path, size: int, media_type: str, explicit: bool) -> str | None:
        """Raises OSError."""
        if explicit:
            return too_large(size, media_type, self._max_bytes)
        reason = objection(path.name, size, media_type, self._max_bytes)
        return reason or (None if self._all_files else self._made(path, media_type))

    def _made(self, path: Path, media_type: str) -> str | None:
        head = b""
        if is_code(media_type):
            with path.open("rb") as file:
                head = file.read(SNIFF)
        reason = made(path.name, media_type, head)
        return reason and f"{reason}{OVERRIDE}"

    def _again(self, real: Path, path: Path, name: str, explicit: bool) -> None:
        known = self.sources[real]
        self.sources[real] = replace(known, explicit=known.explicit or explicit)
        if path.is_symlink():
            self._skip(path, name, f"the same file as {known.name}", explicit)

    def _skip(self, path: Path, name: str, reason: str, explicit: bool = False) -> None:
        self.skipped.append(Skipped(path.absolute(), name, reason, explicit))


def most_bytes(media_type: str | None, max_bytes: int) -> int:
    return max_bytes * (_ARCHIVE_FACTOR if media_type in ARCHIVES else 1)


def too_large(size: int, media_type: str | None, max_bytes: int) -> str | None:
    most = most_bytes(media_type, max_bytes)
    return f"too large ({size:,} bytes; at most {most:,} are read)" if size > most else None


def objection(name: str, size: int, media_type: str | None, max_bytes: int) -> str | None:
    """Why a file that was not named itself is not read."""
    if reason := too_large(size, media_type, max_bytes):
        return reason
    if not size:
        return "empty"
    suffix = PurePosixPath(name).suffix
    return f"unknown type ({suffix or 'no extension, and not text'})" if media_type == UNKNOWN else None


def left_out(folder: Path) -> str | None:
    """Why a folder is not entered."""
    if folder.name.startswith("."):
        return "hidden"
    if (folder / "pyvenv.cfg").is_file():
        return "a virtual environment"
    return PRUNED.get(folder.name)
