"""The conversations of one data folder, in SQLite: a turn is there, with its answer, once it has been answered.

An id is the right to read and go on with a conversation, for all of its tenant and nobody else, so it cannot be
guessed. Conversations that nobody goes on with are forgotten, and so are a tenant's longest unused where there are very
many.
"""

from __future__ import annotations

import copy
import json
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rag import wire
from rag.chats import Chats
from rag.conversation import Turn
from rag.database import Database
from rag.errors import BadRequest, ConversationBusy, ConversationNotFound, StoreUnavailable
from rag.types import Answer

KEPT, KEPT_DAYS = 1000, 90  # conversations of a tenant; days since the last turn
MOST_TURNS = 200  # of one conversation: each is read again for the next

_ID = re.compile(r"[0-9a-f]{32}")
_TABLES = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY,
    created_at TEXT NOT NULL,
    used_at TEXT NOT NULL,
    turns INTEGER NOT NULL,
    title TEXT NOT NULL,
    tenant TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS turns (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    turn TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (conversation, number)
);
"""
_SUMMARY = "id, created_at, used_at, turns, title"


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
    """Those of one tenant in a file that is opened when it is first needed; without one, they last as long as the
    process. Safe to use from threads. What the file cannot do raises StoreUnavailable."""

    def __init__(self, path: Path | None = None) -> None:
        self.chats = Chats()  # what goes on there is no conversation here, but in the eyes of who answers
        self._database = Database(path, _TABLES, "conversations")
        self._answering: set[tuple[str, str]] = set()
        self._taking = threading.Lock()
        self._tenant = ""

    def of(self, tenant: str) -> Conversations:
        """Those of another tenant in the same file."""
        others = copy.copy(self)
        others._tenant = tenant
        return others

    def create(self) -> Summary:
        now = _now()
        made = Summary(secrets.token_hex(16), now, now)
        with self._database.writing() as database:
            database.execute(
                "INSERT INTO conversations (id, created_at, used_at, turns, title, tenant) VALUES (?, ?, ?, 0, '', ?)",
                (made.id, now, now, self._tenant),
            )
            old = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat(timespec="microseconds")
            database.execute("DELETE FROM conversations WHERE used_at < ?", (old,))
            # Those in which nothing has been asked go first: to make one costs nothing.
            database.execute(
                "DELETE FROM conversations WHERE id IN (SELECT id FROM conversations WHERE id != ? AND tenant = ? "
                "ORDER BY turns > 0 DESC, used_at DESC LIMIT -1 OFFSET ?)",
                (made.id, self._tenant, KEPT - 1),
            )
        return made

    def newest(self, limit: int = 50) -> list[Summary]:
        """The last used first."""
        rows = self._database.rows(
            f"SELECT {_SUMMARY} FROM conversations WHERE tenant = ? ORDER BY used_at DESC, rowid DESC LIMIT ?",
            self._tenant,
            limit,
        )
        return [Summary(*row) for row in rows]

    def get(self, id_: str) -> Summary:
        asked = f"SELECT {_SUMMARY} FROM conversations WHERE id = ? AND tenant = ?"
        rows = self._database.rows(asked, id_, self._tenant) if _ID.fullmatch(id_) else []
        if not rows:
            raise ConversationNotFound.of(id_)
        return Summary(*rows[0])

    def transcript(self, id_: str) -> Transcript:
        with self._database.lock:
            conversation = self.get(id_)
            rows = self._database.rows(
                "SELECT turn, answer FROM turns WHERE conversation = ? ORDER BY number", id_
            )
        turns = (Answered(_loaded(Turn, turn), _loaded(Answer, answer)) for turn, answer in rows)
        return Transcript(conversation, tuple(turns))

    def delete(self, id_: str) -> None:
        """Raises ConversationNotFound."""
        with self._database.lock:
            self.get(id_)
            with self._database.writing() as database:
                database.execute("DELETE FROM conversations WHERE id = ?", (id_,))

    # What an answer asks: None is the question that belongs to no conversation.

    @contextmanager
    def taking_turn(self, id_: str | None) -> Iterator[None]:
        """Raises ConversationBusy for a second one at a time."""
        if id_ is None or self.chats.get(id_):
            yield
            return
        mine = (self._tenant, id_)
        with self._taking:  # not the database's, which is held while it writes: the event loop comes here
            if mine in self._answering:
                raise ConversationBusy.of(id_)
            self._answering.add(mine)
        try:
            yield
        finally:
            self._answering.discard(mine)

    def turns(self, id_: str | None) -> tuple[Turn, ...]:
        """Raises ConversationNotFound, and BadRequest where it has had as many as it may."""
        if id_ is None:
            return ()
        if chat := self.chats.get(id_):
            return chat.turns
        with self._database.lock:
            if self.get(id_).turns >= MOST_TURNS:
                raise BadRequest(f"The conversation has had {MOST_TURNS} turns.", "Begin another.")
            rows = self._database.rows("SELECT turn FROM turns WHERE conversation = ? ORDER BY number", id_)
        return tuple(_loaded(Turn, row[0]) for row in rows)

    def add(self, id_: str | None, turn: Turn, answer: Answer) -> None:
        """Durable on return. Raises ConversationNotFound where it was deleted meanwhile."""
        if id_ is None:
            return
        if chat := self.chats.get(id_):
            chat.turn = turn
            return
        with self._database.lock:
            number = self.get(id_).turns + 1
            with self._database.writing() as database:
                database.execute(
                    "INSERT INTO turns VALUES (?, ?, ?, ?)", (id_, number, _dumped(turn), _dumped(answer))
                )
                database.execute(
                    "UPDATE conversations SET used_at = ?, turns = ?, title = iif(title = '', ?, title) WHERE id = ?",
                    (_now(), number, turn.question, id_),
                )

    def close(self) -> None:
        self._database.close()


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
