"""What archives and e-mails held when they were last read to their end, so that one that has not changed need not be
unpacked to find that nothing in it has.

One SQLite file in the data folder. It holds nothing that unpacking would not find out again, so one that is damaged
is made anew.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from ingest.report import FileResult
from rag.errors import StoreUnavailable

log = logging.getLogger(__name__)

_TABLE = """
CREATE TABLE IF NOT EXISTS contents (
    collection TEXT NOT NULL,
    source TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    results TEXT NOT NULL,
    PRIMARY KEY (collection, source)
) WITHOUT ROWID
"""


class Contents:
    """Safe to use from threads. Raises StoreUnavailable where the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _opened(path)
        except sqlite3.OperationalError as error:  # no permission, a full disk: not the file's own fault
            raise StoreUnavailable(f"{path} cannot be opened: {error}.", "Check the data folder.") from error
        except sqlite3.DatabaseError as error:
            log.warning("%s is damaged (%s) and is made anew", path, error)
            path.unlink()
            self._database = _opened(path)

    def known(self, collection: str, source: str, content_hash: str) -> list[FileResult] | None:
        """What became of each file within, if it was read to its end with these bytes."""
        with self._lock, closing(self._database.cursor()) as cursor:
            cursor.execute(
                "SELECT results FROM contents WHERE collection = ? AND source = ? AND content_hash = ?",
                (collection, source, content_hash),
            )
            row = cursor.fetchone()
        return None if row is None else [FileResult(**result) for result in json.loads(row[0])]

    def remember(
        self, collection: str, source: str, content_hash: str, results: Sequence[FileResult]
    ) -> None:
        row = (collection, source, content_hash, json.dumps([asdict(result) for result in results]))
        with self._lock, self._database:
            self._database.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        with self._lock:
            self._database.close()


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(_TABLE)
        database.execute("SELECT * FROM contents LIMIT 1").fetchone()
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
