"""Files that could not be read, remembered so that they are not tried again until they or their parser change.

One SQLite file in the data folder. It holds nothing that a new attempt would not find out again, so one that is
damaged is made anew.
"""

from __future__ import annotations

import json
import threading
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from ingest.disposable import disposable
from ingest.report import FileResult

_COLUMNS = (
    "collection TEXT NOT NULL, source TEXT NOT NULL, revision TEXT NOT NULL, result TEXT NOT NULL, "
    "PRIMARY KEY (collection, source)"
)


class Failures:
    """Safe to use from threads. ``revision`` is what the document's would be: it changes with the file's bytes
    and with its parser."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = disposable(path, "failures", _COLUMNS)

    def known(self, collection: str, source: str, revision: str) -> FileResult | None:
        """How this very revision failed before."""
        with self._lock, closing(self._database.cursor()) as cursor:
            cursor.execute(
                "SELECT result FROM failures WHERE collection = ? AND source = ? AND revision = ?",
                (collection, source, revision),
            )
            row = cursor.fetchone()
        if row is None:
            return None
        result = FileResult(**json.loads(row[0]))
        return replace(result, hint=f"{result.hint} Unchanged, so not tried again; --retry does.".strip())

    def remember(self, collection: str, revision: str, result: FileResult) -> None:
        row = (collection, result.source, revision, json.dumps(asdict(result)))
        with self._lock, self._database:
            self._database.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", row)

    def sources(self, collection: str) -> set[str]:
        with self._lock, closing(self._database.cursor()) as cursor:
            cursor.execute("SELECT source FROM failures WHERE collection = ?", (collection,))
            return {source for (source,) in cursor}

    def forget(self, collection: str, source: str | None = None) -> None:
        """One source, or the whole collection."""
        with self._lock, self._database:
            self._database.execute(
                "DELETE FROM failures WHERE collection = ? AND (source = ? OR ? IS NULL)",
                (collection, source, source),
            )

    def close(self) -> None:
        with self._lock:
            self._database.close()
