"""Vectors that were computed before, by model and text, so that no passage is embedded twice on this machine.

One SQLite file. It holds nothing that cannot be computed again: one that is damaged is made anew, and where the
disk takes nothing more, embedding goes on without it.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from rag.ports import Embedder, Vectors

log = logging.getLogger(__name__)

MAX_BYTES = 2**30  # about 1.2 million vectors of 384 dimensions
_SCHEMA = 1  # raise it when the table changes
_TABLE = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL, used REAL NOT NULL) WITHOUT ROWID
"""
_ASK = 500  # keys in one query
_KEEP = 0.9  # the share of the limit that is left after vectors were dropped
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class CachedEmbedder:
    """An Embedder over another. Questions pass through: few are asked twice, and none of them should be kept.

    Vectors are kept, and returned, as float16 would have them (cosine to the original > 0.999999), so a vector is
    the same whether it comes from the cache or not. When ``max_bytes`` is reached, those that were not used for
    the longest time go. Safe to use from threads.
    """

    def __init__(
        self,
        embedder: Embedder,
        path: Path,
        *,
        identity: str | None = None,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``identity`` tells the model from all others; by default it is the embedder's name."""
        self._embedder, self._identity = embedder, identity
        self._max_bytes, self._clock = max_bytes, clock
        self._path = path
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._off = False  # for good: closed, or the disk does not take it
        self._reused = 0

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    @property
    def reused(self) -> int:
        """How many passages did not have to be embedded, since this was made."""
        return self._reused

    def embed(self, texts: Sequence[str]) -> Vectors:
        keys = [self._key(text) for text in texts]
        known = self._known(keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        made = {}
        if missing:
            made = dict(
                zip(missing, self._embedder.embed(list(missing.values())).astype(np.float16), strict=True)
            )
            self._keep(made)
        self._reused += len(texts) - len(missing)
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return _unit(np.stack([known[key] if key in known else made[key] for key in keys]))

    def embed_query(self, text: str) -> Vectors:
        return self._embedder.embed_query(text)

    def close(self) -> None:
        with self._lock:
            self._off = True
            self._disconnect()

    def _key(self, text: str) -> bytes:
        model = self._identity or self._embedder.name
        return hashlib.sha256(f"{model}\0{text}".encode(errors="surrogatepass")).digest()[:20]

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        size = 2 * self.dimension
        with self._working() as database:
            if database is None:
                return found
            for at in range(0, len(keys), _ASK):
                some = keys[at : at + _ASK]
                marks = ",".join("?" * len(some))
                rows = database.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)
                found |= {key: np.frombuffer(v, dtype=np.float16) for key, v in rows if len(v) == size}
            now = self._clock()
            database.executemany("UPDATE vectors SET used = ? WHERE key = ?", [(now, key) for key in found])
        return found

    def _keep(self, made: dict[bytes, Vectors]) -> None:
        now = self._clock()
        with self._working() as database:
            if database is None:
                return
            rows = [(key, vector.tobytes(), now) for key, vector in made.items()]
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
            log.warning("passages are embedded without %s: %s", self._path, error)
            self._off = True

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _unit(vectors: Vectors) -> Vectors:
    exact = vectors.astype(np.float32)
    lengths: Vectors = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.maximum(lengths, 1e-12), dtype=np.float32)
