"""A folder of a repository as one run reads it, and what is then known of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ingest.repository.git import Git
from ingest.repository.listing import listed
from ingest.repository.trees import CommitTree, Tree, WorkTree
from ingest.sources import Found
from rag.errors import BadRequest
from rag.repository import Repository, is_below

_RULES = (".gitattributes", ".gitignore")  # when one has changed, other files may be read now


class Part:
    """``ref`` is as in Repository. ``known`` is how an earlier run left the folder, read by the same parsers. With
    ``refresh`` only what has changed since then is looked at; and without it too, where a commit is read, but for
    what has no document. Raises BadRequest and RefNotFound."""

    def __init__(
        self,
        git: Git,
        want: Repository,
        known: Repository | None,
        *,
        refresh: bool,
        scratch: Path,
    ) -> None:
        self._git, self._want, self._known = git, want, known
        self._refresh, self._scratch = refresh, scratch
        self._tree: Tree | None = None
        self.among: Collection[str] | None = None  # paths that are looked at; None for all
        if git.is_bare and want.ref is None:
            raise BadRequest(
                f"{git.root} is a bare repository: it has no files but those of its commits.",
                "Name one that is to be read: --ref BRANCH",
            )
        self._commit()

    @property
    def path(self) -> Path:
        return Path(self._want.path)

    def _commit(self) -> str:
        return self._git.tip() if self._want.ref is None else self._git.commit(self._want.ref)

    def look(self, held: Callable[[], Collection[str]]) -> Found:
        """The files to read. ``held`` gives the sources that the collection has documents of."""
        want = self._want = replace(self._want, commit=self._commit())
        self._tree = self._read()
        self.among = self._changed(self._tree, held)
        if isinstance(self._tree, WorkTree):
            self._tree.narrow(self.among)
        return listed(self._tree, want.folder, self.among, all_files=want.all_files)

    def _read(self) -> Tree:
        if self._want.ref is None:
            return WorkTree(self._git)
        return CommitTree(self._git, self._want.commit, self._scratch)

    def _changed(self, tree: Tree, held: Callable[[], Collection[str]]) -> Collection[str] | None:
        known = self._known
        if known is None or not (self._refresh or self._want.ref):
            return None
        differing = self._git.differing(known.commit, self._want.commit)
        if differing is None:  # the commit is not there any more, or never was
            return None
        touched = differing | set(known.dirty) | (tree.dirty if isinstance(tree, WorkTree) else set())
        if any(PurePosixPath(path).name in _RULES for path in touched):
            return None
        if not self._refresh:
            have = held()
            touched |= {path for path in tree.modes if self.uri(path) not in have}
        return frozenset(path for path in touched if is_below(path, self._want.folder))

    def standing(self, path: Path) -> Path | None:
        """As ingest/gone.py has it, of a path below the folder in the commit that is read."""
        assert self._tree
        for each in (path, *path.parents):
            if (
                each.is_relative_to(self._git.root)
                and each.relative_to(self._git.root).as_posix() in self._tree.modes
            ):
                return each
        return None

    @property
    def is_of_commit(self) -> bool:
        return self._want.ref is not None

    @property
    def sources(self) -> list[str] | None:
        """Those that are looked at; None for all."""
        return None if self.among is None else [self.uri(path) for path in self.among]

    def uri(self, path: str) -> str:
        return (self._git.root / path).as_uri()

    def begun(self) -> Repository:
        """What is certain while the run is at work, and after it if it does not end well."""
        if self.among is None or self._known is None:
            return replace(self._want, commit="")
        return replace(self._known, dirty=tuple(sorted({*self._known.dirty, *self.among})))

    def ended(self, unsure: Collection[str]) -> Repository:
        """What is known after a run that ended well; of ``unsure`` sources an older version is held."""
        paths = {path for source in unsure if (path := self._want.path_of(source))}
        commit: str = self._want.commit
        if isinstance(self._tree, WorkTree):
            paths |= self._tree.dirty
            # What was changed during the run may have been read before that or after.
            if self.among is None or set(self.among) - self._tree.dirty:
                paths |= self._git.status().dirty - self._tree.left
            now = self._git.tip()
            moved = self._git.differing(commit, now) if now != commit else set()
            commit, paths = (commit, paths | moved) if moved is not None else ("", paths)
        dirty = sorted(path for path in paths if is_below(path, self._want.folder))
        return replace(self._want, commit=commit, dirty=tuple(dirty))
