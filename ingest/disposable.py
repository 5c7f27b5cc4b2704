"""SQLite files of what can be found out again: one that is damaged is made anew."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from rag.errors import StoreUnavailable

log = logging.getLogger(__name__)


def disposable(path: Path, table: str, columns: str) -> sqlite3.Connection:
    """The file with this one table, for any thread. Raises StoreUnavailable where it cannot be opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _opened(path, table, columns)
    except sqlite3.OperationalError as error:  # no permission, a full disk: not the file's own fault
        raise StoreUnavailable(f"{path} cannot be opened: {error}.", "Check the data folder.") from error
    except sqlite3.DatabaseError as error:
        log.warning("%s is damaged (%s) and is made anew", path, error)
        path.unlink()
        return _opened(path, table, columns)


def _opened(path: Path, table: str, columns: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) WITHOUT ROWID")
        database.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
