"""The conversations of one data folder, in SQLite: a turn is there, with its answer, once it has been answered.

An id is the right to read and go on with a conversation, so it cannot be guessed. Conversations that nobody goes on
with are forgotten, and so are the longest unused where there are very many.
"""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rag import wire
from rag.conversation import Turn
from rag.errors import BadRequest, ConversationBusy, ConversationNotFound, StoreUnavailable
from rag.types import Answer

KEPT, KEPT_DAYS = 1000, 90  # conversations; days since the last turn
MOST_TURNS = 200  # of one conversation: each is read again for the next

_ID = re.compile(r"[0-9a-f]{32}")
_TABLES = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY,
    created_at TEXT NOT NULL,
    used_at TEXT NOT NULL,
    turns INTEGER NOT NULL,
    title TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS turns (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    turn TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (conversation, number)
);
"""


@dataclass(frozen=True, slots=True)
class Summary:
    """``turns`` are counted, ``title`` is the first question. Times are ISO 8601, UTC."""

    id: str
    created_at: str
    used_at: str
    turns: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn for who looks at it."""

    turn: Turn
    answer: Answer


@dataclass(frozen=True, slots=True)
class Transcript:
    conversation: Summary
    turns: tuple[Answered, ...]


class Conversations:
    """Those of a file that is opened when it is first needed; without one, they last as long as the process. Safe to
    use from threads. What the file cannot do raises StoreUnavailable."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None
        self._answering: set[str] = set()

    def create(self) -> Summary:
        now = _now()
        made = Summary(secrets.token_hex(16), now, now)
        with self._writing() as database:
            database.execute("INSERT INTO conversations VALUES (?, ?, ?, 0, '')", (made.id, now, now))
            old = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat(timespec="microseconds")
            database.execute("DELETE FROM conversations WHERE used_at < ?", (old,))
            # Those in which nothing has been asked go first: to make one costs nothing.
            database.execute(
                "DELETE FROM conversations WHERE id IN (SELECT id FROM conversations WHERE id != ? "
                "ORDER BY turns > 0 DESC, used_at DESC LIMIT -1 OFFSET ?)",
                (made.id, KEPT - 1),
            )
        return made

    def newest(self, limit: int = 50) -> list[Summary]:
        """The last used first."""
        rows = self._rows("SELECT * FROM conversations ORDER BY used_at DESC, rowid DESC LIMIT ?", limit)
        return [Summary(*row) for row in rows]

    def get(self, id_: str) -> Summary:
        rows = self._rows("SELECT * FROM conversations WHERE id = ?", id_) if _ID.fullmatch(id_) else []
        if not rows:
            raise ConversationNotFound.of(id_)
        return Summary(*rows[0])

    def transcript(self, id_: str) -> Transcript:
        with self._lock:
            conversation = self.get(id_)
            rows = self._rows("SELECT turn, answer FROM turns WHERE conversation = ? ORDER BY number", id_)
        turns = (Answered(_loaded(Turn, turn), _loaded(Answer, answer)) for turn, answer in rows)
        return Transcript(conversation, tuple(turns))

    def delete(self, id_: str) -> None:
        """Raises ConversationNotFound."""
        with self._lock:
            self.get(id_)
            with self._writing() as database:
                database.execute("DELETE FROM conversations WHERE id = ?", (id_,))

    # What an answer asks: None is the question that belongs to no conversation.

    @contextmanager
    def taking_turn(self, id_: str | None) -> Iterator[None]:
        """Raises ConversationBusy for a second one at a time."""
        if id_ is None:
            yield
            return
        with self._lock:
            if id_ in self._answering:
                raise ConversationBusy.of(id_)
            self._answering.add(id_)
        try:
            yield
        finally:
            self._answering.discard(id_)

    def turns(self, id_: str | None) -> tuple[Turn, ...]:
        """Raises ConversationNotFound, and BadRequest where it has had as many as it may."""
        if id_ is None:
            return ()
        with self._lock:
            if self.get(id_).turns >= MOST_TURNS:
                raise BadRequest(f"The conversation has had {MOST_TURNS} turns.", "Begin another.")
            rows = self._rows("SELECT turn FROM turns WHERE conversation = ? ORDER BY number", id_)
        return tuple(_loaded(Turn, row[0]) for row in rows)

    def add(self, id_: str | None, turn: Turn, answer: Answer) -> None:
        """Durable on return. Raises ConversationNotFound where it was deleted meanwhile."""
        if id_ is None:
            return
        with self._lock:
            number = self.get(id_).turns + 1
            with self._writing() as database:
                database.execute(
                    "INSERT INTO turns VALUES (?, ?, ?, ?)", (id_, number, _dumped(turn), _dumped(answer))
                )
                database.execute(
                    "UPDATE conversations SET used_at = ?, turns = ?, title = iif(title = '', ?, title) WHERE id = ?",
                    (_now(), number, turn.question, id_),
                )

    def close(self) -> None:
        with self._lock:
            if self._database:
                self._database.close()
                self._database = None

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._mapped() as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on the disk when it ends."""
        with self._mapped() as database, database:
            yield database

    @contextmanager
    def _mapped(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._database = self._database or _opened(self._path)
                yield self._database
            except sqlite3.Error as error:
                raise StoreUnavailable(
                    f"The conversations in {self._path} cannot be read or written: {error}.",
                    "Is the disk full? If the file is damaged, move it away; it holds only conversations.",
                ) from error


def _opened(path: Path | None) -> sqlite3.Connection:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path or ":memory:", timeout=30, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
        database.executescript(_TABLES)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _dumped(value: Turn | Answer) -> str:
    return json.dumps(wire.dump(value))


def _loaded(kind: Any, text: str) -> Any:
    try:
        return wire.load(kind, json.loads(text))
    except ValueError as error:
        raise StoreUnavailable(
            "A turn of the conversation was written by another version of openbook.", "Begin another."
        ) from error
