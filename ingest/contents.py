"""What archives and e-mails held when they were last read to their end, so that one that has not changed need not be
unpacked to find that nothing in it has.

One SQLite file in the data folder. It holds nothing that unpacking would not find out again, so one that is damaged
is made anew.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from ingest.disposable import disposable
from ingest.report import FileResult

_COLUMNS = (
    "collection TEXT NOT NULL, source TEXT NOT NULL, content_hash TEXT NOT NULL, results TEXT NOT NULL, "
    "PRIMARY KEY (collection, source)"
)


class Contents:
    """Safe to use from threads. Raises StoreUnavailable where the file cannot be opened."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = disposable(path, "contents", _COLUMNS)

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
