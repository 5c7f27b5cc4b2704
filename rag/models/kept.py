"""Bytes that were computed before, by key, in one SQLite file. It holds nothing that cannot be computed again: one that
is damaged is made anew, and where the disk takes nothing more, work goes on without it. Safe to use from threads."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

MAX_BYTES = 2**30  # about 1.2 million vectors of 384 dimensions
_SCHEMA = 1  # raise it when the table changes
_TABLE = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, used REAL NOT NULL) WITHOUT ROWID
"""
_ASK = 500  # keys in one query
_KEEP = 0.9  # the share of the limit that is left after values were dropped
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Kept:
    """When ``max_bytes`` is reached, values that were not used for the longest time go."""

    def __init__(
        self,
        path: Path,
        what: str,
        *,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``what`` is done without the file where it cannot be used, as the log says it."""
        self._path, self._what, self._max_bytes, self._clock = path, what, max_bytes, clock
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._off = False  # for good: closed, or the disk does not take it

    def close(self) -> None:
        with self._lock:
            self._off = True
            self._disconnect()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those that are there."""
        found: dict[bytes, bytes] = {}
        with self._working() as database:
            if database is None:
                return found
            for at in range(0, len(keys), _ASK):
                some = keys[at : at + _ASK]
                marks = ",".join("?" * len(some))
                found |= dict(
                    database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
                )
        return found

    def use(self, keys: Iterable[bytes]) -> None:
        """They are dropped later."""
        now = self._clock()
        with self._working() as database:
            if database is not None:
                database.executemany(
                    "UPDATE vectors SET used = ? WHERE key = ?", [(now, key) for key in keys]
                )

    def put(self, made: Mapping[bytes, bytes]) -> None:
        now = self._clock()
        with self._working() as database:
            if database is None:
                return
            rows = [(key, value, now) for key, value in made.items()]
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            self._make_room(database)

    def _make_room(self, database: sqlite3.Connection) -> None:
        pages, free, size = (
            int(database.execute(f"PRAGMA {what}").fetchone()[0])
            for what in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size <= self._max_bytes:
            return
        (rows,) = database.execute("SELECT count(*) FROM vectors").fetchone()
        # Free pages are used again, so the file grows no further.
        surplus = int(rows * (1 - _KEEP * self._max_bytes / ((pages - free) * size))) + 1
        database.execute(
            "DELETE FROM vectors WHERE key IN (SELECT key FROM vectors ORDER BY used LIMIT ?)", (surplus,)
        )

    @contextmanager
    def _working(self) -> Iterator[sqlite3.Connection | None]:
        """One transaction; or None, where there is no cache to be had. What goes wrong with the cache costs the
        caller nothing but time."""
        with self._lock:
            try:
                database = self._connect()
            except (sqlite3.Error, OSError) as error:
                self._give_up_or_rebuild(error)
                database = None
            if database is None:
                yield None
                return
            try:
                with database:
                    yield database
            except sqlite3.Error as error:
                self._give_up_or_rebuild(error)

    def _connect(self) -> sqlite3.Connection | None:
        if self._off:
            return None
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # What is lost in a crash of the machine is computed again; so nothing waits for the disk.
            self._database = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _SCHEMA):
                self._database.execute("DROP TABLE IF EXISTS vectors")
            self._database.execute(_TABLE)
            self._database.execute(f"PRAGMA user_version = {_SCHEMA}")
        return self._database

    def _give_up_or_rebuild(self, error: sqlite3.Error | OSError) -> None:
        self._disconnect()
        if getattr(error, "sqlite_errorcode", None) in _DAMAGE:
            log.warning("%s is damaged (%s) and is made anew", self._path, error)
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        else:
            log.warning("%s without %s: %s", self._what, self._path, error)
            self._off = True

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
