"""The files of a repository that are worth reading, and what is left out, with the reason."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from ingest.classify import in_repository, pointer, vendored
from ingest.media_types import SNIFF, by_name, sniffed
from ingest.repository.git import LINK, SUBMODULE
from ingest.repository.trees import Tree, WorkTree
from ingest.sources import MAX_BYTES, OVERRIDE, Found, Skipped, Source, most_bytes, objection
from rag.repository import is_below

_NAMED = 5  # of many files that are left out for one reason


def listed(
    tree: Tree, folder: str, among: Collection[str] | None, *, all_files: bool, max_bytes: int = MAX_BYTES
) -> Found:
    """Of the files below ``folder`` those that are ``among``; of all of them, with what git does not track, if that is
    None. With ``all_files`` none is left out for what it is."""
    listing = _Listing(tree, folder, all_files, max_bytes, is_part=among is not None)
    for path in sorted(path for path in tree.modes if is_below(path, folder)):
        if among is None or path in among:
            listing.add(path)
    listing.tell_vendored()
    if among is None and isinstance(tree, WorkTree):
        listing.tell_untracked(tree)
    return Found(tuple(listing.sources), tuple(listing.skipped))


class _Listing:
    def __init__(self, tree: Tree, folder: str, all_files: bool, max_bytes: int, *, is_part: bool) -> None:
        self.sources: list[Source] = []
        self.skipped: list[Skipped] = []
        self._tree, self._folder, self._all_files, self._max_bytes = tree, folder, all_files, max_bytes
        self._root = tree.git.root
        self._name = (self._root / folder).name or "root"
        self._vendored: Counter[str] = Counter()
        self._has_attributes = not all_files and (is_part or self._mentions_linguist())

    def _mentions_linguist(self) -> bool:
        named = [path for path in self._tree.modes if path.rpartition("/")[2] == ".gitattributes"]
        return any(b"linguist-" in self._tree.head(path, 2**20) for path in named)

    def add(self, path: str) -> None:
        mode = self._tree.modes[path]
        if mode == SUBMODULE:
            self._skip(path, f"a submodule (ingest it by itself: {self._root / path})", "/")
        elif mode == LINK:
            target = self._tree.link(path)
            self._skip(path, f"a link to {target}" if target else "a link that leads out of the repository")
        elif not stat.S_ISREG(mode):
            self._skip(path, "not a regular file")
        elif (within := self._vendored_in(path)) is not None:
            self._vendored[within] += 1
        else:
            try:
                self._file(path)
            except OSError as error:
                self._skip(path, f"cannot be opened ({error.strerror})")

    def _vendored_in(self, path: str) -> str | None:
        # Below the folder that was named: whoever names a vendored one means it.
        if self._all_files or self._attribute(path, "vendored") is False:
            return None
        inner = vendored(self._inner(path))
        return None if inner is None else "/".join(filter(None, (self._folder, inner)))

    def _file(self, path: str) -> None:
        """Raises OSError."""
        size, known = self._tree.size(path), by_name(path)
        if size > most_bytes(known, self._max_bytes):  # before it is read: it may be huge
            reason = objection(path, size, known, self._max_bytes)
        else:
            head = self._tree.head(path, SNIFF)
            media_type = known or sniffed(head)
            reason = objection(path, size, media_type, self._max_bytes) or self._lfs(head)
            if reason is None and not self._all_files:
                reason = self._left_out(path, media_type, size, head)
        if reason:
            self._skip(path, reason)
            return
        uri = (self._root / path).as_uri()
        self.sources.append(
            Source(self._tree.file(path), uri, media_type, self._named(path), explicit=False, size=size)
        )

    def _lfs(self, head: bytes) -> str | None:
        size = pointer(head)
        if size is None:
            return None
        return f"a Git LFS pointer, {size / 1e6:,.1f} MB elsewhere; fetch with: git lfs pull"

    def _left_out(self, path: str, media_type: str, size: int, head: bytes) -> str | None:
        asked = {name: self._attribute(path, name) for name in ("generated", "vendored")}
        attributes = {name: value for name, value in asked.items() if value is not None}
        reason = in_repository(self._inner(path), media_type, size, head, attributes)
        return reason and reason + OVERRIDE

    def _attribute(self, path: str, name: str) -> bool | None:
        return self._tree.attribute(path, f"linguist-{name}") if self._has_attributes else None

    def tell_vendored(self) -> None:
        for folder, count in self._vendored.items():
            self._skip(folder, f"vendored ({count:,} files); --all-files reads them", "/")

    def tell_untracked(self, tree: WorkTree) -> None:
        for path in self._below(tree.status.repositories):
            self._skip(
                path.rstrip("/"), f"a repository of its own (ingest it by itself: {self._root / path})", "/"
            )
        for paths, reason in (
            (tree.status.ignored, "ignored by git"),
            (tree.left, "hidden or made, not tracked by git"),
        ):
            if names := self._below(paths):
                more = ", ..." if len(names) > _NAMED else ""
                shown = ", ".join(map(self._inner, names[:_NAMED]))
                self._skip(self._folder, f"{len(names):,} files and folders {reason}: {shown}{more}", "/")

    def _below(self, paths: Iterable[str]) -> list[str]:
        return sorted(path for path in paths if is_below(path, self._folder))

    def _inner(self, path: str) -> str:
        return path[len(self._folder) :].lstrip("/") if self._folder else path

    def _named(self, path: str) -> str:
        return "/".join(filter(None, (self._name, self._inner(path))))

    def _skip(self, path: str, reason: str, end: str = "") -> None:
        self.skipped.append(Skipped(Path(self._root, path), self._named(path) + end, reason))
