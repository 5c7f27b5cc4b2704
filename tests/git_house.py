"""Git repositories for tests, and collections that are made of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pygit2
from pygit2.enums import CheckoutStrategy, FileMode

from ingest.report import Report
from ingest.repository.memory import Memory
from ingest.run import Run, begin
from rag.compose import Engine
from rag.repository import Repository
from rag.types import Document

AUTHOR = pygit2.Signature("A. Tester", "a@example.org", 1_700_000_000, 0)


class Repo:
    """A work tree; ``commit`` takes all of it, as ``git add --all && git commit`` does."""

    def __init__(self, root: Path, *, bare: bool = False) -> None:
        self.root = root
        self.git = pygit2.init_repository(os.fspath(root), bare=bare, initial_head="main")

    def write(self, name: str, text: str | bytes = "words\n") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def commit(self, **files: str) -> str:
        """``_`` in a name stands for a dot, ``__`` for a slash."""
        for name, text in files.items():
            self.write(name.replace("__", "/").replace("_", "."), text)
        index = self.git.index
        index.read()
        index.add_all()
        index.write()
        parents = [] if self.git.head_is_unborn else [self.git.head.target]
        id_ = self.git.create_commit("HEAD", AUTHOR, AUTHOR, "Changed.", index.write_tree(), parents)
        return str(id_)

    def submodule(self, name: str, commit: str) -> None:
        """As one is that was not checked out."""
        (self.root / name).mkdir()
        self.git.index.add(pygit2.IndexEntry(name, pygit2.Oid(hex=commit), FileMode.COMMIT))
        self.git.index.write()
        tree = self.git.index.write_tree()
        self.git.create_commit("HEAD", AUTHOR, AUTHOR, "A submodule.", tree, [self.git.head.target])

    def branch(self, name: str) -> None:
        self.git.branches.local.create(name, self.git.head.peel(pygit2.Commit))

    def checkout(self, name: str) -> None:
        self.git.checkout(f"refs/heads/{name}", strategy=CheckoutStrategy.FORCE)

    def remove(self, name: str) -> None:
        path = self.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


class Shelf:
    """Collections of an engine of fakes, and runs that count what they cost."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def run(self, *paths: Path, collection: str = "c", **asked: object) -> Report:
        run = Run(collection, tuple(map(str, paths)), **asked)  # type: ignore[arg-type]
        *_, report = begin(self.engine, run)
        assert isinstance(report, Report)
        return report

    def refresh(self, ref: str | None = None, collection: str = "c") -> Report:
        return self.run(collection=collection, ref=ref, refresh=True)

    def documents(self, collection: str = "c") -> list[Document]:
        return self.engine.rag.store.open(collection).documents()

    def texts(self, root: Path, collection: str = "c") -> dict[str, str]:
        """By path below ``root``."""
        index = self.engine.rag.store.open(collection)
        return {
            each.source.removeprefix(root.as_uri() + "/"): "".join(p.text for p in index.read(each.id))
            for each in self.documents(collection)
        }

    def known(self, collection: str = "c") -> tuple[Repository, ...]:
        return Memory(self.engine.rag.collection_settings, collection).repositories()


def statuses(report: Report, *wanted: str) -> dict[str, str]:
    return {each.name: each.status for each in report.files if each.status in (wanted or (each.status,))}


def reasons(report: Report) -> dict[str, str]:
    return {each.name: each.reason for each in report.files if each.status == "skipped"}
