"""What a worker of a Ray cluster does. No Ray in here: values come and go, and what went wrong goes as a value, too,
since Ray would wrap what is raised."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from ingest.documents import reading_version
from ingest.workers import Read, Workers
from rag.errors import RagError
from rag.ports import Embedder, Vectors
from rag.settings import load_settings


def version(max_characters: int) -> tuple[str, str]:
    """Of openbook, and of how it reads files of all types; this one says, too, which programs are there."""
    return metadata.version("openbook"), reading_version(max_characters)


def differs(theirs: tuple[str, str] | str, ours: tuple[str, str]) -> str:
    """What a machine's version is told as, where it is not this one's; empty where it is."""
    if isinstance(theirs, str):
        return f"has no openbook ({theirs})"
    if theirs[0] != ours[0]:
        return f"has openbook {theirs[0]}, this one {ours[0]}"
    return "reads files in another way (LibreOffice on one of them only?)" if theirs != ours else ""


def read_bytes(data: bytes, name: str, media_type: str, max_characters: int) -> Read | BaseException:
    """As ingest.workers.Workers reads a file, with its limits: the parser is in a process below this one."""
    with tempfile.TemporaryDirectory(prefix="openbook-") as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        read = _workers().read(path, name, media_type, max_characters)
        return read.exception() or read.result()


@cache
def _workers() -> Workers:
    return Workers(1)


@dataclass(frozen=True, slots=True)
class Model:
    """The embedding model of OPENBOOK_EMBEDDER, made where it is called."""

    source: str | None

    def __call__(self) -> Embedder:
        # Imported here: what only reads needs no model.
        from rag.compose import embedder_of

        return embedder_of(load_settings(embedder=self.source))


class Embedding:
    """One for each machine, so that a model is loaded once there."""

    def __init__(self, model: Callable[[], Embedder]) -> None:
        self._model = model
        self._embedder: Embedder | None = None

    def embed(self, texts: Sequence[str]) -> Vectors | RagError:
        try:
            if self._embedder is None:
                self._embedder = self._model()
            return self._embedder.embed(texts)
        except RagError as error:
            return error
