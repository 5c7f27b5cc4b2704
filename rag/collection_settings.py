"""What is set for collections, by name: JSON values in one small file of the data folder, which its owner alone
uses."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag.errors import StoreUnavailable

FILE = "collection_settings.json"
TARGET_TTFT_MS = "target_ttft_ms"  # the time in which answers from a collection are to begin
MOST_TARGET_MS = 3_600_000  # milliseconds to the first token, the longest that may be asked for: an hour

_Kept = dict[str, dict[str, Any]]


class CollectionSettings:
    """Those of a file that is read when they are first needed; without one, they last as long as the process. Safe to
    use from threads. What the file cannot do raises StoreUnavailable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept: _Kept | None = None

    def get(self, collection: str, key: str) -> Any:
        """None where nothing is set."""
        return next(iter(self.values(key, (collection,))), None)

    def values(self, key: str, collections: Sequence[str]) -> list[Any]:
        """Of the collections for which it is set."""
        with self._lock:
            kept = self._load()
            return [kept[name][key] for name in collections if key in kept.get(name, {})]

    def set(self, collection: str, key: str, value: Any) -> None:
        """Durable on return; None takes it back."""
        with self._lock:
            kept = self._load()
            of = {**kept.get(collection, {}), key: value}
            self._keep({**kept, collection: {name: each for name, each in of.items() if each is not None}})

    def forget(self, collection: str) -> None:
        """All that is set for the collection."""
        with self._lock:
            self._keep({**self._load(), collection: {}})

    def _load(self) -> _Kept:
        if self._kept is None:
            self._kept = _read(self._path) if self._path else {}
        return self._kept

    def _keep(self, kept: _Kept) -> None:
        kept = {name: of for name, of in kept.items() if of}
        if self._path and kept != self._kept:
            _write(self._path, kept)
        self._kept = kept


def _read(path: Path) -> _Kept:
    try:
        kept = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _unavailable(path, error) from error
    if not (isinstance(kept, dict) and all(isinstance(of, dict) for of in kept.values())):
        raise _unavailable(path, "it is no table of collections")
    return kept


def _write(path: Path, kept: _Kept) -> None:
    aside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, why: object) -> StoreUnavailable:
    return StoreUnavailable(
        f"The settings of collections in {path} cannot be read or written: {why}.",
        "Is the disk full? If the file is damaged, move it away; it holds only targets and the like.",
    )
