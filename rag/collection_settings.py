"""What is set for collections, by name: JSON values in one small file of the data folder, which its owner alone
uses."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rag import durable
from rag.errors import StoreUnavailable

FILE = "collection_settings.json"
TARGET_TTFT_MS = "target_ttft_ms"  # the time in which answers from a collection are to begin
REPOSITORIES = "repositories"  # those that it was read from, as rag/repository.py has them
MOST_TARGET_MS = 3_600_000  # milliseconds to the first token, the longest that may be asked for: an hour

_IDENTITY = "identity"  # what it goes by, where that is not its name
_RENAMING = ".renaming"  # no collection is called so: the one that is being renamed

_Kept = dict[str, dict[str, Any]]


class CollectionSettings:
    """Those of a file that is read when they are first needed; without one, they last as long as the process. Safe to
    use from threads. What the file cannot do raises StoreUnavailable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
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
            self._keep({**kept, collection: _given(of)})

    def forget(self, collection: str) -> None:
        """All that is set for the collection; what it goes by stays taken."""
        with self._lock:
            kept = self._load()
            of = kept.get(collection, {})
            self._keep({**kept, collection: {key: of[key] for key in (_IDENTITY,) if key in of}})

    def identity(self, collection: str) -> str:
        """What the collection goes by wherever its name must not change what is there: in ids of documents, and in
        the path of what it was sent. It stays when the collection is renamed, and no other one has it."""
        return str(self.get(collection, _IDENTITY) or collection)

    # A rename is three steps, of which the middle one is the store's; rag/renaming.py.

    def begin_renaming(self, old: str, new: str) -> None:
        """All that is set moves, and the two swap what they go by, so that each has one of its own for ever."""
        with self._lock:
            kept, goes_by = self._load(), (self.identity(old), self.identity(new))
            moved = {**kept.get(old, {}), _IDENTITY: goes_by[0] if goes_by[0] != new else None}
            left = {_IDENTITY: goes_by[1] if goes_by[1] != old else None}
            given = {name: _given(of) for name, of in ((new, moved), (old, left))}
            self._keep({**kept, **given, _RENAMING: {"old": old, "new": new}})

    def renaming(self) -> tuple[str, str] | None:
        """What has begun and not ended: the old name and the new one."""
        with self._lock:
            begun = self._load().get(_RENAMING)
        return (begun["old"], begun["new"]) if begun else None

    def end_renaming(self) -> None:
        with self._lock:
            self._keep({**self._load(), _RENAMING: {}})

    def _load(self) -> _Kept:
        if self._kept is None:
            self._kept = _read(self._path) if self._path else {}
        return self._kept

    def _keep(self, kept: _Kept) -> None:
        kept = {name: of for name, of in kept.items() if of}
        if self._path and kept != self._kept:
            _write(self._path, kept)
        self._kept = kept


def _given(of: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in of.items() if each is not None}


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
    try:
        durable.write(path, json.dumps(kept))
    except OSError as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, why: object) -> StoreUnavailable:
    return StoreUnavailable(
        f"The settings of collections in {path} cannot be read or written: {why}.",
        "Is the disk full? If the file is damaged, move it away; it holds targets, pins, which commits were read, and "
        "what renamed collections go by.",
    )
