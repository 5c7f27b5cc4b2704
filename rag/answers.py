"""The latest answers with their receipts, in SQLite, so that what was read for one can be looked up later.

They hold what was asked and quote what was read, so they are as private as the documents. An id cannot be guessed.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rag import wire
from rag.database import Database
from rag.errors import AnswerNotFound, StoreUnavailable
from rag.types import Answer

log = logging.getLogger(__name__)

FILE = "answers.db"  # in the data folder

_ID = re.compile(r"[0-9a-f]{32}")
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL,
    collections TEXT NOT NULL,
    question TEXT NOT NULL,
    answerable INTEGER NOT NULL,
    answer TEXT NOT NULL,
    tenant TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS told (
    id TEXT PRIMARY KEY,
    answer TEXT NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
    around TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS told_answer ON told (answer);
"""
_OF = "tenant = ? AND (? = '' OR EXISTS (SELECT 1 FROM json_each(collections) WHERE value = ?))"


@dataclass(frozen=True, slots=True)
class AnswerSummary:
    """``collections`` as they were called then; ``at`` is ISO 8601, UTC."""

    id: str
    at: str
    collections: tuple[str, ...]
    question: str
    answerable: bool


@dataclass(frozen=True, slots=True)
class AnswerPage:
    """Of ``total`` answers those from ``offset`` on, the newest first."""

    total: int
    offset: int
    answers: tuple[AnswerSummary, ...]


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    summary: AnswerSummary
    answer: Answer


class Answers:
    """Of one tenant the newest ``most``; none where that is 0. Safe to use from threads."""

    def __init__(self, path: Path | None = None, most: int = 0) -> None:
        self._database = Database(path, _TABLES, "past answers")
        self._most, self._tenant = most, ""

    def of(self, tenant: str) -> Answers:
        """Those of another tenant in the same file."""
        others = copy.copy(self)
        others._tenant = tenant
        return others

    def keep(self, collections: Sequence[str], answer: Answer) -> Answer:
        """The answer with its id. One that cannot be kept has none: an answer is worth more than its record."""
        if not self._most:
            return answer
        named = replace(answer, id=secrets.token_hex(16))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        asked = (json.dumps(collections), answer.question, answer.answerable)
        row = (named.id, at, *asked, _dumped(named), self._tenant)
        try:
            with self._database.writing() as database:
                database.execute(
                    "INSERT INTO answers (id, at, collections, question, answerable, answer, tenant) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    row,
                )
                database.execute(
                    "DELETE FROM answers WHERE tenant = ? AND number <= (SELECT number FROM answers "
                    "WHERE tenant = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                    (self._tenant, self._tenant, self._most),
                )
        except StoreUnavailable as error:
            log.warning("an answer cannot be kept: %s", error)
            return answer
        return named

    def newest(self, collection: str = "", offset: int = 0, limit: int = 50) -> AnswerPage:
        """Of those that were asked of a collection, be it among others; by default all."""
        of = (self._tenant, collection, collection)
        with self._database.lock:
            ((total,),) = self._database.rows(f"SELECT COUNT(*) FROM answers WHERE {_OF}", *of)
            rows = self._database.rows(
                f"SELECT id, at, collections, question, answerable FROM answers WHERE {_OF} "
                "ORDER BY number DESC LIMIT ? OFFSET ?",
                *of,
                limit,
                offset,
            )
        return AnswerPage(total, offset, tuple(_summary(*row) for row in rows))

    def get(self, id_: str) -> KeptAnswer:
        """Raises AnswerNotFound."""
        query = "SELECT id, at, collections, question, answerable, answer FROM answers WHERE id = ? AND tenant = ?"
        rows = self._database.rows(query, id_, self._tenant) if _ID.fullmatch(id_) else []
        if not rows:
            raise AnswerNotFound.of(id_)
        *summary, answer = rows[0]
        return KeptAnswer(_summary(*summary), _loaded(answer))

    def delete(self, id_: str) -> None:
        """Raises AnswerNotFound."""
        with self._database.lock:
            self.get(id_)
            with self._database.writing() as database:
                database.execute("DELETE FROM answers WHERE id = ?", (id_,))

    # An answer may have been told in the shape of another interface, under an id of its own: then what stood around it
    # is kept beside it, as long as it is.

    def keep_told(self, id_: str, answer: str, around: str) -> bool:
        """``answer`` is the id of one that is kept. False where that is not so, or not any more, and where it cannot be
        written."""
        try:
            with self._database.writing() as database:
                added = database.execute(
                    "INSERT INTO told (id, answer, around) SELECT ?, id, ? FROM answers WHERE id = ? AND tenant = ?",
                    (id_, around, answer, self._tenant),
                )
                return added.rowcount == 1
        except StoreUnavailable as error:
            log.warning("a reply cannot be kept: %s", error)
            return False

    def told(self, id_: str) -> tuple[str, Answer] | None:
        """What stood around an answer, and the answer; None where there is none."""
        rows = self._database.rows(
            "SELECT told.around, answers.answer FROM told JOIN answers ON answers.id = told.answer "
            "WHERE told.id = ? AND answers.tenant = ?",
            id_,
            self._tenant,
        )
        return (rows[0][0], _loaded(rows[0][1])) if rows else None

    def delete_told(self, id_: str) -> bool:
        """With its answer. False where there is none."""
        with self._database.writing() as database:
            deleted = database.execute(
                "DELETE FROM answers WHERE tenant = ? AND id = (SELECT answer FROM told WHERE id = ?)",
                (self._tenant, id_),
            )
            return deleted.rowcount == 1

    def close(self) -> None:
        self._database.close()


def _summary(id_: str, at: str, collections: str, question: str, answerable: int) -> AnswerSummary:
    return AnswerSummary(id_, at, tuple(json.loads(collections)), question, bool(answerable))


def _dumped(answer: Answer) -> str:
    return json.dumps(wire.dump(answer))


def _loaded(answer: str) -> Answer:
    return wire.load(Answer, json.loads(answer))
