"""What the prompts of the latest questions began with, kept over restarts: the next ones may begin so too.

A line for each question in a file that is shortened now and then; what a crash loses of it is not missed.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

from rag import jsonl
from rag.order import Name, name_of
from rag.types import Block

log = logging.getLogger(__name__)

FILE = "beginnings.jsonl"  # in the data folder
LATEST = 1000  # questions
DEEPEST = 64  # blocks of each
OFTEN = 2  # questions that began alike


@dataclass(frozen=True, slots=True)
class Beginning:
    """Blocks behind the instructions and what is pinned, of a question about these collections."""

    collections: tuple[str, ...]
    names: tuple[Name, ...]


class Usual:
    """Of a file that is read when it is first needed; without one, of this process. Safe to use from threads. What the
    file cannot do is no error: an answer is worth more."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._latest: deque[Beginning] | None = None
        self._lines = 0
        self._lock = threading.Lock()

    def note(self, collections: Sequence[str], blocks: Sequence[Block]) -> None:
        """A question was asked with these blocks behind what is pinned."""
        asked = Beginning(tuple(collections), tuple(map(name_of, blocks[:DEEPEST])))
        with self._lock:
            self._load().append(asked)
            if self._path:
                self._keep(self._path, asked)

    def beginnings(self) -> list[Beginning]:
        """What several of these questions began with, the most frequent first."""
        with self._lock:
            latest = list(self._load())
        return often(latest)

    def rename(self, old: str, new: str) -> None:
        """A collection is called otherwise now."""
        with self._lock:
            for _ in range(len(latest := self._load())):
                asked = latest.popleft()
                named = tuple(new if name == old else name for name in asked.collections)
                latest.append(replace(asked, collections=named))
            if self._path:
                self._shorten(self._path)

    def _load(self) -> deque[Beginning]:
        if self._latest is None:
            rows = list(jsonl.rows(self._path)) if self._path else []
            self._lines = len(rows)
            self._latest = deque(filter(None, map(_beginning, rows)), LATEST)
        return self._latest

    def _keep(self, path: Path, asked: Beginning) -> None:
        try:
            jsonl.append(path, _row(asked))
            self._lines += 1
        except OSError as error:
            log.warning("what a question began with cannot be kept: %s", error)
        if self._lines >= 2 * LATEST:
            self._shorten(path)

    def _shorten(self, path: Path) -> None:
        latest = [_row(each) for each in self._load()]
        try:
            jsonl.replace(path, latest)
            self._lines = len(latest)
        except OSError as error:
            log.warning("what questions began with cannot be kept: %s", error)


def often(asked: Iterable[Beginning]) -> list[Beginning]:
    """What OFTEN of them or more begin with, each as far as all of those go together; the most frequent first."""
    paths: dict[tuple[str, ...], list[tuple[Name, ...]]] = defaultdict(list)
    for each in asked:
        paths[each.collections].append(each.names)
    found = [(count, Beginning(of, names)) for of, there in paths.items() for count, names in _often(there)]
    return [each for _, each in sorted(found, key=lambda counted: -counted[0])]


def _often(
    paths: Sequence[tuple[Name, ...]], begun: tuple[Name, ...] = ()
) -> Iterator[tuple[int, tuple[Name, ...]]]:
    at = len(begun)
    further: dict[Name, list[tuple[Name, ...]]] = defaultdict(list)
    for path in paths:
        if len(path) > at:
            further[path[at]].append(path)
    for name, alike in further.items():
        if len(alike) >= OFTEN:
            deeper = list(_often(alike, (*begun, name)))
            if not any(count == len(alike) for count, _ in deeper):
                yield len(alike), (*begun, name)
            yield from deeper


def _row(asked: Beginning) -> dict[str, Any]:
    return {"collections": asked.collections, "blocks": [astuple(name) for name in asked.names]}


def _beginning(row: dict[str, Any]) -> Beginning | None:
    """None of a line that another version wrote."""
    try:
        return Beginning(tuple(row["collections"]), tuple(Name(*name) for name in row["blocks"]))
    except (KeyError, TypeError):
        return None
