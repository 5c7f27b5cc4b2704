"""A git repository as ingestion sees it: the one place that knows pygit2.

Paths are relative to the root, with ``/``; bytes that are no UTF-8 are surrogates in them, as in os.fsdecode. Commits
and blobs are told by their ids in hexadecimal. What is damaged raises RepositoryUnreadable.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import AttrCheck, FileStatus

from rag.errors import RefNotFound, RepositoryUnreadable

LINK, SUBMODULE = 0o120000, 0o160000  # modes of what is no file
_NEAR = 3  # names that a wrong one is compared with in an error


@dataclass(frozen=True, slots=True)
class Blob:
    mode: int
    id: str


@dataclass(frozen=True, slots=True)
class Status:
    """How the work tree differs from its commit. ``dirty`` are files that do, deleted and untracked ones too; of these
    ``untracked`` are not in the index. ``ignored`` are files and whole folders, which end with a slash, and
    ``repositories`` folders that are repositories of their own."""

    dirty: frozenset[str]
    untracked: frozenset[str]
    ignored: tuple[str, ...]
    repositories: tuple[str, ...]


class Git:
    """``root`` is the folder of the work tree, or of the bare repository, with links followed."""

    def __init__(self, repository: pygit2.Repository) -> None:
        self._repository = repository
        self.is_bare = repository.is_bare
        self.folder = Path(repository.path).resolve()
        self.root = self.folder if self.is_bare else Path(repository.workdir).resolve()

    def tip(self) -> str:
        """The commit that is checked out; "" while there is none on the branch."""
        with _mapped(self.root):
            return "" if self._repository.head_is_unborn else str(self._repository.head.target)

    def commit(self, ref: str) -> str:
        """That of a branch, a tag, or what else ``git rev-parse`` takes. Raises RefNotFound, which names near ones."""
        try:
            return str(self._repository.revparse_single(ref).peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise RefNotFound.of(ref, self.root, self._near(ref)) from error

    def _near(self, ref: str) -> list[str]:
        with _mapped(self.root):
            names = [name.split("/", 2)[-1] for name in self._repository.listall_references()]
        ends = [name for name in names if name.endswith(f"/{ref}")]
        return [*ends, *difflib.get_close_matches(ref, names, _NEAR)][:_NEAR]

    def seconds(self, commit: str) -> int:
        """When it was committed, since 1970."""
        with _mapped(self.root):
            return self._repository[commit].peel(pygit2.Commit).commit_time

    def blobs(self, commit: str) -> dict[str, Blob]:
        """All files of a commit, links and submodules too, by path."""
        with _mapped(self.root):
            return dict(self._below(self._repository[commit].peel(pygit2.Tree), ""))

    def _below(self, tree: pygit2.Tree, folder: str) -> Iterator[tuple[str, Blob]]:
        for entry in tree:
            path = folder + os.fsdecode(entry.raw_name or b"")
            if isinstance(entry, pygit2.Tree):
                yield from self._below(entry, f"{path}/")
            else:
                yield path, Blob(int(entry.filemode), str(entry.id))

    def tracked(self) -> dict[str, int]:
        """Modes by path, of the index."""
        with _mapped(self.root):
            return {entry.path: int(entry.mode) for entry in self._repository.index}

    def mode(self, path: str) -> int | None:
        """Of one file, as the index had it when the status was asked for; None for one that is not in it."""
        try:
            return int(self._repository.index[path].mode)
        except KeyError:
            return None
        except UnicodeEncodeError:  # as in is_ignored
            return self.tracked().get(path)

    def status(self) -> Status:
        with _mapped(self.root):
            flags = self._repository.status(untracked_files="all", ignored=True)
        folders = [path for path in flags if path.endswith("/")]
        own = [path for path in folders if (self.root / path / ".git").exists()]
        files = {path: flag for path, flag in flags.items() if path not in own}
        return Status(
            frozenset(path for path, flag in files.items() if flag != FileStatus.IGNORED),
            frozenset(path for path, flag in files.items() if flag == FileStatus.WT_NEW),
            tuple(path for path, flag in files.items() if flag == FileStatus.IGNORED),
            tuple(own),
        )

    def differing(self, old: str, new: str) -> set[str] | None:
        """Paths of files that are not the same in two commits; None where one of them is not there."""
        try:
            trees = [self._repository[commit].peel(pygit2.Tree) for commit in (old, new)]
            deltas = list(trees[0].diff_to_tree(trees[1]).deltas)
        except (KeyError, ValueError, pygit2.GitError):
            return None
        return {os.fsdecode(file.raw_path) for delta in deltas for file in (delta.old_file, delta.new_file)}

    def size(self, blob: Blob) -> int:
        """Bytes, without reading them. Raises OSError."""
        with _as_file():
            return int(self._repository.odb.read_header(pygit2.Oid(hex=blob.id))[1])

    def data(self, blob: Blob) -> bytes:
        """Raises OSError."""
        with _as_file():
            return bytes(self._repository[blob.id].peel(pygit2.Blob).data)

    def file(self, commit: str, path: str) -> bytes | None:
        """What a file held; None where the commit or the file in it is not there."""
        try:
            return bytes(self._repository[commit].peel(pygit2.Tree)[path].peel(pygit2.Blob).data)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def is_ignored(self, path: str) -> bool:
        try:
            return self._repository.path_is_ignored(path)
        except UnicodeEncodeError:  # pygit2 takes no such name; git status does, so nothing is lost
            return False

    def attribute(self, path: str, name: str, commit: str = "") -> bool | None:
        """As .gitattributes sets it, that of the work tree or of a commit."""
        try:
            if commit:
                flags = AttrCheck.INDEX_ONLY | AttrCheck.NO_SYSTEM | AttrCheck.INCLUDE_COMMIT
                value = self._repository.get_attr(path, name, flags, pygit2.Oid(hex=commit))
            else:
                value = self._repository.get_attr(path, name)
        except UnicodeEncodeError:
            return None
        return {"true": True, "false": False}.get(value) if isinstance(value, str) else value


def containing(folder: Path) -> Git | None:
    """The repository whose work tree holds the folder, or that it is itself, if bare. None also for a folder that
    the repository ignores, and for git's own: these are read as they are."""
    real = folder.resolve()
    with _mapped(real):
        found = pygit2.discover_repository(os.fspath(real))
    has_own = os.path.lexists(real / ".git")
    if found is None and not has_own:
        return None
    with _mapped(real):
        git = Git(pygit2.Repository(found or os.fspath(real)))
    if has_own and git.root != real:
        raise _unreadable(real, "its .git leads nowhere")
    if git.is_bare:
        return git if real == git.root else None
    if not real.is_relative_to(git.root) or real.is_relative_to(git.folder):
        return None
    inside = real.relative_to(git.root).as_posix()
    return None if inside != "." and git.is_ignored(inside) else git


@contextmanager
def _mapped(root: Path) -> Iterator[None]:
    try:
        yield
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        raise _unreadable(root, str(error)) from error


def _unreadable(root: Path, why: str) -> RepositoryUnreadable:
    if "not owned by" in why:
        return RepositoryUnreadable(
            f"The git repository {root} belongs to another user.",
            f"If you trust it: git config --global --add safe.directory {root}",
        )
    return RepositoryUnreadable(
        f"The git repository {root} cannot be read: {why}.",
        "Look with: git fsck. To read the folder as it is, move its .git away.",
    )


@contextmanager
def _as_file() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError, pygit2.GitError) as error:
        why = "its content is not in the repository: a partial clone gets it by git checkout"
        raise OSError(errno.ENODATA, why) from error
