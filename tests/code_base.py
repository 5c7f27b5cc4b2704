"""A small code base in a store, with outlines written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fakes import FakeEmbedder, document, passages
from rag.code.outline import Definition, DefinitionKind, Import, Outline, Use
from rag.ports import Store, Write

JOBS = '''"""Jobs."""


class Base:
    """What jobs have in common."""


class Job(Base):
    def run(self) -> None:
        pass


def run(job: Job) -> None:
    job.run()
'''
SERVER = '''"""The server."""

from app.jobs import Job, run


class Server:
    """Serves."""

    # As long as it is told.
    def start(self) -> None:
        run(Job())
        self.start()
'''


def put_code(store: Store, folder: Path, collection: str = "code") -> dict[str, Path]:
    """The files, written below ``folder`` and put into the collection."""
    texts = {"app/jobs.py": JOBS, "app/server.py": SERVER, "old/server.py": "# Replaced.\n"}
    outlines = {"app/jobs.py": _jobs(), "app/server.py": _server()}
    paths = {name: folder / name for name in texts}
    writes = []
    for name, text in texts.items():
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        paths[name].write_text(text)
        writes.append(_write(paths[name], text, outlines.get(name), collection))
    store.open(collection, create=True).put_all(writes)
    return paths


def _write(path: Path, text: str, outline: Outline | None, collection: str) -> Write:
    made = document(path.as_uri(), collection=collection, code="python" if outline else "")
    half = text.index("\n", len(text) // 2) + 1
    tiles = passages(made, *(part for part in (text[:half], text[half:]) if part))
    made = replace(made, characters=len(text), passages=len(tiles), media_type="text/x-python")
    return Write(made, tiles, FakeEmbedder().embed([tile.text for tile in tiles]), outline)


def _jobs() -> Outline:
    defined = [
        _definition(JOBS, "Base", "class", "class Base:", '"""What jobs have in common."""'),
        _definition(JOBS, "Job", "class", "class Job(Base):", "        pass"),
        _definition(JOBS, "Job.run", "method", "    def run(self) -> None:", "        pass"),
        _definition(JOBS, "run", "function", "def run(job: Job) -> None:", "    job.run()"),
    ]
    uses = (Use("Base", "", "inherit", 8, 1), Use("run", "job", "call", 14, 3))
    return Outline("python", "app.jobs", tuple(defined), uses)


def _server() -> Outline:
    defined = [
        _definition(SERVER, "Server", "class", "class Server:", "        self.start()"),
        _definition(SERVER, "Server.start", "method", "    # As long", "        self.start()", line=10),
    ]
    uses = (Use("run", "", "call", 11, 1), Use("Job", "", "call", 11, 1), Use("start", "self", "call", 12, 1))
    imports = (Import("app.jobs", "Job", "Job", 3), Import("app.jobs", "run", "run", 3))
    return Outline("python", "app.server", tuple(defined), uses, imports)


def _definition(
    text: str, path: str, kind: DefinitionKind, first: str, last: str, line: int | None = None
) -> Definition:
    """From where ``first`` stands to the end of ``last``, which comes after it."""
    start = text.index(first)
    end = text.index(last, start) + len(last)
    named = line or text.count("\n", 0, start) + 1
    signature = text.splitlines()[named - 1].strip().rstrip(":")
    return Definition(
        tuple(path.split(".")), kind, start, end, named, text.count("\n", 0, end) + 1, signature
    )
