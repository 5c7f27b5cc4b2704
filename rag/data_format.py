"""The format of a data folder: one number in ``format.json``, and the way from each number to the next.

Whoever owns the folder (rag/owner.py) brings it to the format of this openbook before anything in it is opened. A
migration may be ended anywhere: the number is written when it is done, and else it runs again, so each leaves alone
what it has done before. What can be made again is in no format: caches have numbers of their own, and are dropped. A
collection's points have another number (rag/store/points.py), since they may lie on a server.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from rag import durable
from rag.errors import DataTooNew, StoreUnavailable

log = logging.getLogger(__name__)

FILE = "format.json"

Migration = Callable[[Path], None]


def tenants(folder: Path) -> None:
    """Conversations and past answers belong to a tenant; those of before, to the owner."""
    for file, table in (("conversations.db", "conversations"), ("answers.db", "answers")):
        if (folder / file).exists():
            with closing(sqlite3.connect(folder / file, timeout=30)) as database, database:
                columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
                if columns and "tenant" not in columns:
                    database.execute(f"ALTER TABLE {table} ADD COLUMN tenant TEXT NOT NULL DEFAULT ''")


# The first leads from format 0, of folders without a number, to 1. Only ever added to.
MIGRATIONS: tuple[Migration, ...] = (tenants,)
FORMAT = len(MIGRATIONS)


def bring_up(folder: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """To the present format; under the owner's lock. Raises DataTooNew, and StoreUnavailable where a file of it cannot
    be read or written."""
    found = check(folder, len(migrations))
    if found < len(migrations):
        migrate(folder, found, migrations)


def check(folder: Path, known: int = FORMAT) -> int:
    """The folder's format. Raises DataTooNew."""
    found, made_by = _read(folder)
    if found > known:
        raise DataTooNew.of(f"The data folder {folder}", found, made_by, known)
    return found


def migrate(folder: Path, found: int, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """From format ``found`` on. Raises StoreUnavailable."""
    try:
        for number, migration in enumerate(migrations[found:], start=found + 1):
            migration(folder)
            durable.write(folder / FILE, json.dumps({"format": number, "openbook": version("openbook")}))
            log.info("%s is in format %d now", folder, number)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(
            f"The data folder {folder} cannot be brought from format {found} to {len(migrations)}: {error}.",
            "Is the disk full? What was done is kept; the next start goes on. Or restore a backup: openbook restore.",
        ) from error


def _read(folder: Path) -> tuple[int, str]:
    """The number, and the version that wrote it."""
    try:
        told = json.loads((folder / FILE).read_text())
        return int(told["format"]), str(told.get("openbook", ""))
    except FileNotFoundError:
        return 0, ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StoreUnavailable(
            f"{folder / FILE} does not say which format the data folder has: {error!r}.",
            f'Restore a backup, or, where this openbook wrote the folder, put {{"format": {FORMAT}}} into it.',
        ) from error
