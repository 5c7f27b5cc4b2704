"""A repository into a collection and kept there, in seconds: python -P benchmarks/repository.py DIRECTORY

    DIRECTORY   an unpacked source tree, e.g. Django's sdist; it is copied, and the copy made a repository

Vectors are random, so that what is measured is all but embedding; store and workers are the product's. With
OPENBOOK_DATA_DIR, a folder without collections, its commands can be used on what is left there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

# Worker processes import this script, too: what they do not need is imported where it is used.
if __name__ == "__main__":
    import numpy as np
    import pygit2

    from ingest import workers
    from ingest.parsed import Parsed
    from ingest.passages import tile
    from ingest.report import Report
    from ingest.run import Run, begin
    from rag.code.known import Codebases
    from rag.code.map import code_map
    from rag.compose import Engine, open_rag
    from rag.ports import Embedder, Vectors
    from rag.settings import load_settings

BEGINNING = 300  # characters
MAP_TOKENS = 4000


@dataclass
class RandomVectors:
    """In the place of a model, whose collections it can write."""

    name: str
    dimension: int
    max_tokens: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.random.default_rng(0).normal(size=(len(texts), self.dimension)).astype(np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def embed_query(self, text: str) -> Vectors:
        return np.asarray(self.embed([text])[0], dtype=np.float32)


def of(embedder: Embedder) -> RandomVectors:
    return RandomVectors(embedder.name, embedder.dimension, embedder.max_tokens)


def commit(git: pygit2.Repository) -> str:
    author = pygit2.Signature("A", "a@example.org", 1_700_000_000, 0)
    git.index.add_all()
    git.index.write()
    parents = [] if git.head_is_unborn else [git.head.target]
    return str(git.create_commit("HEAD", author, author, "Changed.", git.index.write_tree(), parents))


def timed(engine: Engine, what: str, run: Run) -> None:
    began = time.perf_counter()
    *_, report = begin(engine, run)
    assert isinstance(report, Report)
    counts = {
        status: report.count(status) for status in ("added", "replaced", "unchanged", "removed", "skipped")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    print(f"| {what} | {time.perf_counter() - began:.2f} | {told or 'nothing'} |", flush=True)


def mapped(engine: Engine, what: str) -> str:
    """Nothing of it known before: outlines read, names told, ranks and map drawn."""
    began = time.perf_counter()
    codebase = Codebases(engine.rag.store).of(["code"])
    read = time.perf_counter() - began
    drawn = code_map(codebase, MAP_TOKENS, engine.rag.tokens.count)
    took = time.perf_counter() - began
    print(
        f"| {what} | {took:.2f} | {drawn.tokens} tokens of {drawn.files} files; {read:.2f} s for outlines |",
        flush=True,
    )
    return drawn.text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--copy", type=Path, help="Where the copy is to be, and stay.")
    parser.add_argument(
        "--short", action="store_true", help="Ingest no more than the beginning of each file at first."
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = (given.copy or Path(scratch) / given.directory.name).resolve()
        shutil.copytree(given.directory, root, ignore=shutil.ignore_patterns(".git"))
        git = pygit2.init_repository(str(root), initial_head="main")
        first = commit(git)
        files = sorted(root.rglob("*.py"), key=lambda path: path.stat().st_size)
        chosen = [files[len(files) * part // 10] for part in (4, 5, 6, 7, 8)]
        print(f"{len(git.index)} files, {len(files)} of Python\n\n| run | s | files |\n|---|---|---|")
        os.environ.setdefault("OPENBOOK_DATA_DIR", f"{scratch}/data")
        asyncio.run(measured(root, git, first, chosen, short=given.short))


def beginning(path: Path, *asked: object) -> workers.Read:
    """In the place of reading a whole file, as far as what follows is concerned."""
    read = workers.read(path, *asked)  # type: ignore[arg-type]
    parsed = Parsed(read.parsed.text[:BEGINNING], read.parsed.title, read.parsed.regions[:1])
    return replace(read, parsed=parsed, tiles=tuple(tile(parsed, 10 * BEGINNING)))


def beginnings() -> workers.Reading:
    reading = workers.InProcess()
    reading.read = lambda *asked: workers._done(lambda: beginning(*asked))  # type: ignore[method-assign]
    return reading


async def measured(
    root: Path, git: pygit2.Repository, first: str, chosen: Sequence[Path], *, short: bool
) -> None:
    async with open_rag(load_settings(), "a measurement") as engine:
        engine.rag.embedder = of(engine.rag.embedder)
        whole, again = Run("code", (str(root),)), Run("code", (), refresh=True)
        with patch("ingest.pipeline.Workers", lambda **_: beginnings()) if short else nullcontext():
            timed(engine, "ingest", whole)
        before = mapped(engine, f"map of {MAP_TOKENS:,} tokens")
        timed(engine, "ingest again", whole)
        timed(engine, "refresh, nothing changed", again)
        chosen[0].write_text(chosen[0].read_text() + "\n# changed\n")
        timed(engine, "refresh, one file changed", again)
        second = commit(git)
        timed(engine, "refresh, that committed", again)
        chosen[1].rename(chosen[1].with_name("renamed_file.py"))
        timed(engine, "refresh, one file renamed", again)
        for path in chosen[2:]:
            path.write_text(path.read_text() + "\n# changed\n")
        third = commit(git)
        timed(engine, "refresh, five files committed", again)
        timed(engine, "refresh to the first commit", Run("code", (), refresh=True, ref=first))
        same = mapped(engine, "map of the first commit again") == before
        print(f"| the two maps are {'equal' if same else 'NOT equal'} | | |")
        timed(engine, "refresh to the third", Run("code", (), refresh=True, ref=third))
        timed(engine, "ingest the second", Run("code", (str(root),), ref=second))
        if not short:
            timed(engine, "ingest a commit into another collection", Run("other", (str(root),), ref=second))


if __name__ == "__main__":
    main()
