"""A SQLite file of the data folder."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag.errors import StoreUnavailable


class Database:
    """Opened when it is first needed; without a path it lasts as long as the process. Safe to use from threads, and
    ``lock`` may be held over several steps. What the file cannot do raises StoreUnavailable, which names ``what``.
    Files of before have been brought to the present tables (rag/data_format.py)."""

    def __init__(self, path: Path | None, tables: str, what: str) -> None:
        self._path, self._tables, self._what = path, tables, what
        self.lock = threading.RLock()
        self._database: sqlite3.Connection | None = None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._mapped() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when it ends."""
        with self._mapped() as database, database:
            yield database

    def close(self) -> None:
        with self.lock:
            if self._database:
                self._database.close()
                self._database = None

    @contextmanager
    def _mapped(self) -> Iterator[sqlite3.Connection]:
        with self.lock:
            try:
                self._database = self._database or self._opened()
                yield self._database
            except sqlite3.Error as error:
                raise StoreUnavailable(
                    f"The {self._what} in {self._path} cannot be read or written: {error}.",
                    f"Is the disk full? If the file is damaged, move it away; it holds only {self._what}.",
                ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path or ":memory:", timeout=30, check_same_thread=False)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA foreign_keys = ON")
            database.executescript(self._tables)
        except sqlite3.Error:
            database.close()
            raise
        return database
