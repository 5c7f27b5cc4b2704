"""The API keys of one data folder, in SQLite: of a key only a hash is kept, so that who reads the file has none.

A key is ``openbook_ID_SECRET``. The secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to
guess. The command line writes the file while a service reads it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from api.caller import ALL, SCOPES, Caller, Scope
from rag.database import Database
from rag.errors import BadRequest, KeyNotFound, KeyRefused

FILE = "keys.db"  # in the data folder
PREFIX = "openbook"
USED_EVERY = timedelta(minutes=1)  # at most so often it is written down that a key is used

_COLUMNS = "id, name, scopes, collections, tenant, created_at, expires_at, revoked_at, used_at"
_TABLE = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    collections TEXT NOT NULL,
    tenant TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    used_at TEXT
);
CREATE UNIQUE INDEX IF NOT EXISTS keys_in_use ON keys (name) WHERE revoked_at IS NULL;
"""


@dataclass(frozen=True, slots=True)
class Key:
    """Times are ISO 8601, UTC. ``collections`` are names or globs."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    collections: tuple[str, ...]
    tenant: str
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    used_at: str | None = None

    def state(self, now: datetime) -> str:
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= told(now) else "valid"

    @property
    def caller(self) -> Caller:
        return Caller(self.name, frozenset(self.scopes), self.collections, self.tenant, self.id)


class Keys:
    """Safe to use from threads. What the file cannot do raises StoreUnavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path, _TABLE, "keys")

    def add(
        self,
        name: str,
        scopes: Sequence[Scope],
        collections: Sequence[str] = ALL,
        tenant: str = "",
        expires_at: datetime | None = None,
    ) -> tuple[Key, str]:
        """A new key and, this once, what its holder shows. Without a ``tenant`` it is one of its own. Raises BadRequest
        where the name is taken."""
        secret = secrets.token_urlsafe(32)
        key = Key(
            secrets.token_hex(4),
            name,
            tuple(scope for scope in SCOPES if scope in scopes),
            tuple(collections),
            tenant or name,
            told(_now()),
            told(expires_at) if expires_at else None,
        )
        lists = [json.dumps(key.scopes), json.dumps(key.collections)]
        row = [key.id, _hash(secret), name, *lists, key.tenant, key.created_at, key.expires_at]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)  # and so are the files that SQLite puts beside it
        with self._database.writing() as database:
            taken = database.execute("SELECT 1 FROM keys WHERE name = ? AND revoked_at IS NULL", (name,))
            if taken.fetchall():
                raise BadRequest(
                    f"There is a key {name!r} already.", f"Revoke it with: openbook keys revoke {name}"
                )
            database.execute("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", row)
        return key, f"{PREFIX}_{key.id}_{secret}"

    def all(self) -> list[Key]:
        """In the order in which they were made."""
        return [_key(row) for row in self._rows(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, rowid")]

    def any_valid(self) -> bool:
        return any(key.state(_now()) == "valid" for key in self.all())

    def revoke(self, named: str) -> Key:
        """By name or id. Raises KeyNotFound."""
        if not self._path.exists():
            raise KeyNotFound.of(named)
        now = told(_now())
        with self._database.writing() as database:
            changed = database.execute(
                f"UPDATE keys SET revoked_at = ? WHERE ? IN (id, name) AND revoked_at IS NULL RETURNING {_COLUMNS}",
                (now, named),
            ).fetchall()
        if not changed:
            raise KeyNotFound.of(named)
        return _key(changed[0])

    def find(self, shown: str) -> Key:
        """The key that is shown. Raises KeyRefused."""
        id_, secret = _parts(shown)
        rows = self._rows(f"SELECT hash, {_COLUMNS} FROM keys WHERE id = ?", id_)
        # An unknown id takes as long as a wrong secret.
        known = rows[0][0] if rows else bytes(32)
        if not (secrets.compare_digest(known, _hash(secret)) and rows):
            raise KeyRefused.of("not known here")
        key, now = _key(rows[0][1:]), _now()
        if (state := key.state(now)) != "valid":
            raise KeyRefused.of(state)
        return self._used(key, now)

    def _used(self, key: Key, now: datetime) -> Key:
        if key.used_at and datetime.fromisoformat(key.used_at) > now - USED_EVERY:
            return key
        with self._database.writing() as database:
            database.execute("UPDATE keys SET used_at = ? WHERE id = ?", (told(now), key.id))
        return replace(key, used_at=told(now))

    def close(self) -> None:
        self._database.close()

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.rows(query, *values) if self._path.exists() else []


def told(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _now() -> datetime:
    return datetime.now(UTC)


def _parts(shown: str) -> tuple[str, str]:
    prefix, _, rest = shown.partition("_")
    id_, _, secret = rest.partition("_")
    return (id_, secret) if prefix == PREFIX else ("", "")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()


def _key(row: Sequence[Any]) -> Key:
    id_, name, scopes, collections, *others = row
    known = tuple(cast(list[Scope], json.loads(scopes)))
    return Key(id_, name, known, tuple(json.loads(collections)), *others)
