"""A SQLite file of the data folder."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rag.errors import StoreUnavailable

Sync = Literal["FULL", "NORMAL"]  # https://sqlite.org/pragma.html#pragma_synchronous


class Database:
    """Opened when it is first needed; without a path it lasts as long as the process. Safe to use from threads, and
    ``lock`` may be held over several steps. What the file cannot do raises StoreUnavailable, which names ``what``.
    Files of before have been brought to the present tables (rag/data_format.py). With ``synced`` a power cut undoes no
    write; else it may undo the last ones, but those within ``synced``."""

    def __init__(self, path: Path | None, tables: str, what: str, *, synced: bool = True) -> None:
        self._path, self._tables, self._what = path, tables, what
        self._sync: Sync = "FULL" if synced else "NORMAL"
        self.lock = threading.RLock()
        self._database: sqlite3.Connection | None = None

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._mapped() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction; within another one it is part of that."""
        with self._mapped() as database:
            if database.in_transaction:
                yield database
                return
            with database:
                yield database

    @contextmanager
    def synced(self) -> Iterator[None]:
        """What is written within is on the disk when it ends, whatever holds else."""
        with self._mapped() as database:
            _synchronous(database, "FULL")
            try:
                yield
            finally:
                _synchronous(database, self._sync)

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
            _synchronous(database, self._sync)
            database.execute("PRAGMA foreign_keys = ON")
            database.executescript(self._tables)
        except sqlite3.Error:
            database.close()
            raise
        return database


def _synchronous(database: sqlite3.Connection, sync: Sync) -> None:
    database.execute(f"PRAGMA synchronous = {sync}")
