"""Which repository documents were read from, and at which commit: so an answer can name the commit of a line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Repository:
    """What a collection holds of one repository. ``root`` is its work tree's folder, or a bare repository's; of it
    ``folder`` was read, relative, "" for all. ``ref`` is the branch, tag or commit that was asked for, None for the
    files of the work tree. ``commit`` is "" where none is known to be what is held.

    ``dirty`` are the paths below ``root`` whose documents may differ from the commit, ``all_files`` says that nothing
    was left out for what it is, ``reading`` stands for all that the same bytes are read and cut by."""

    root: str
    folder: str = ""
    ref: str | None = None
    commit: str = ""
    dirty: tuple[str, ...] = ()
    all_files: bool = False
    reading: str = ""

    @property
    def path(self) -> str:
        """Of the folder that was read, absolute."""
        return str(PurePosixPath(self.root, self.folder))

    def path_of(self, uri: str) -> str | None:
        """Relative to ``root``, of a source below the folder that was read; None for any other."""
        path = _path(uri)
        if not path.is_relative_to(self.path):
            return None
        return path.relative_to(self.root).as_posix()

    def commit_of(self, uri: str) -> str:
        """The commit whose file the source's document was read from; "" for one that differs from it, or is no
        file of this repository. What is in an archive is of the archive's commit."""
        path = self.path_of(uri)
        if path is None or {path, *map(str, PurePosixPath(path).parents)}.intersection(self.dirty):
            return ""
        return self.commit


def commit_of(repositories: Iterable[Repository], uri: str) -> str:
    """As the one says whose folder is nearest above the source; "" where there is none."""
    above = [each for each in repositories if each.path_of(uri) is not None]
    return max(above, key=lambda each: len(each.path)).commit_of(uri) if above else ""


def dump(repositories: Sequence[Repository]) -> list[dict[str, Any]]:
    return [asdict(each) for each in repositories]


def load(data: list[dict[str, Any]] | None) -> tuple[Repository, ...]:
    """Of what ``dump`` made; nothing of None. Raises TypeError for anything else."""
    return tuple(Repository(**{**each, "dirty": tuple(each["dirty"])}) for each in data or ())


def is_below(path: str, folder: str) -> bool:
    """Of paths relative to a repository's root; ``folder`` is "" for that."""
    return not folder or path == folder or path.startswith(folder + "/")


def joined(new: Sequence[Repository], old: Iterable[Repository]) -> tuple[Repository, ...]:
    """``new`` beside those of ``old`` that are of other folders. One whose folder lies in that of another of ``new``
    says nothing more than that, where they are of the same state."""
    kept = [each for each in old if not any(_covers(one, each) for one in new)]
    told = [
        each
        for each in new
        if not any(_covers(one, each) and _state(one) == _state(each) for one in new if one is not each)
    ]
    return tuple(sorted((*kept, *told), key=lambda each: each.path))


def outside(repositories: Iterable[Repository], source: str) -> tuple[Repository, ...]:
    """Those whose folder is not what the source names, nor below it."""
    named = _path(source)
    return tuple(each for each in repositories if not PurePosixPath(each.path).is_relative_to(named))


def _path(source: str) -> PurePosixPath:
    return PurePosixPath(unquote(urlsplit(source).path, errors="surrogateescape"))


def _covers(one: Repository, other: Repository) -> bool:
    return one.root == other.root and is_below(other.folder, one.folder)


def _state(one: Repository) -> tuple[str | None, str, bool]:
    return one.ref, one.commit, one.all_files
