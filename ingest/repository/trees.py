"""Where files of a repository are read from: its work tree, or one of its commits."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from ingest.repository.git import SUBMODULE, Git
from ingest.sources import PRUNED


class Tree(Protocol):
    """What can be read raises OSError."""

    @property
    def git(self) -> Git: ...
    @property
    def modes(self) -> Mapping[str, int]:
        """All files, links and submodules, by path relative to the root: as git has modes."""
        ...

    def size(self, path: str) -> int: ...
    def head(self, path: str, size: int) -> bytes:
        """The first bytes."""
        ...

    def link(self, path: str) -> str | None:
        """The path that a link leads to; None for one out of the repository."""
        ...

    def file(self, path: str) -> Path:
        """A file with the content."""
        ...

    def attribute(self, path: str, name: str) -> bool | None: ...


class WorkTree:
    """Files that git tracks, and those that it would: not ignored, not hidden, and not in folders that tools make.
    ``status`` is how it was found."""

    def __init__(self, git: Git) -> None:
        self.git, self.status = git, git.status()
        self._straight: dict[str, bool] = {}
        self.left = frozenset(
            path for path in self.status.untracked if is_hidden(path) or self._is_made(path)
        )
        self._among: Collection[str] | None = None

    def narrow(self, among: Collection[str] | None) -> None:
        """To these paths, before any file is asked for; so that a few of many are found at once."""
        self._among = among

    @cached_property
    def modes(self) -> Mapping[str, int]:
        new = dict.fromkeys(self.status.untracked - self.left, 0)
        if self._among is None:
            modes = self.git.tracked() | new
        else:
            modes = {
                path: mode for path in self._among if (mode := new.get(path, self.git.mode(path))) is not None
            }
        found = ((path, self._mode(path, mode)) for path, mode in modes.items())
        return {path: mode for path, mode in found if mode is not None}

    @property
    def dirty(self) -> frozenset[str]:
        """Files that are not as the commit has them."""
        return self.status.dirty - self.left

    def _mode(self, path: str, mode: int) -> int | None:
        """As it is on the disk now; None for what is not there, or behind a folder that is a link."""
        try:
            now = (self.git.root / path).lstat().st_mode
        except OSError:
            return None
        if stat.S_ISDIR(now):
            return SUBMODULE if mode == SUBMODULE else None
        return stat.S_IFMT(now) if self._is_straight(path.rpartition("/")[0]) else None

    def _is_straight(self, folder: str) -> bool:
        if folder not in self._straight:
            here = os.fspath(self.git.root / folder)
            self._straight[folder] = os.path.realpath(here) == here
        return self._straight[folder]

    def _is_made(self, path: str) -> bool:
        above = list(PurePosixPath(path).parents)[:-1]
        return any(
            folder.name in PRUNED or f"{folder}/pyvenv.cfg" in self.status.untracked for folder in above
        )

    def size(self, path: str) -> int:
        return (self.git.root / path).stat().st_size

    def head(self, path: str, size: int) -> bytes:
        with (self.git.root / path).open("rb") as file:
            return file.read(size)

    def link(self, path: str) -> str | None:
        real = os.path.realpath(self.git.root / path)
        return os.path.relpath(real, self.git.root) if Path(real).is_relative_to(self.git.root) else None

    def file(self, path: str) -> Path:
        return self.git.root / path

    def attribute(self, path: str, name: str) -> bool | None:
        return self.git.attribute(path, name)


class CommitTree:
    """Files of a commit. They are written to the folder ``scratch``, which need not exist, when one is asked for; with
    the commit's time."""

    def __init__(self, git: Git, commit: str, scratch: Path) -> None:
        self.git, self.commit = git, commit
        self._scratch, self._seconds = scratch, git.seconds(commit)
        self._blobs, self._held = git.blobs(commit), ("", b"")
        self.modes: Mapping[str, int] = {path: blob.mode for path, blob in self._blobs.items()}

    def size(self, path: str) -> int:
        return self.git.size(self._blobs[path])

    def head(self, path: str, size: int) -> bytes:
        return self._data(path)[:size]

    def link(self, path: str) -> str | None:
        target = os.path.normpath(PurePosixPath(path).parent / os.fsdecode(self._data(path)))
        return None if target.startswith(("/", "..")) else target

    def file(self, path: str) -> Path:
        # Named by its content: no path of a commit, however odd, names a file here.
        file = self._scratch / f"{self._blobs[path].id}{PurePosixPath(path).suffix if path.isascii() else ''}"
        if not file.exists():
            self._scratch.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._data(path))
            os.utime(file, (self._seconds, self._seconds))
        return file

    def _data(self, path: str) -> bytes:
        blob = self._blobs[path]
        if self._held[0] != blob.id:  # the first bytes of a file are asked for, then all
            self._held = (blob.id, self.git.data(blob))
        return self._held[1]

    def attribute(self, path: str, name: str) -> bool | None:
        return self.git.attribute(path, name, self.commit)


def is_hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path
