"""Who owns a data folder: one process at a time, found by a lock that ends with the process.

``owner.lock`` is held by the owner; ``owner.json`` beside it, readable by this user only, says who that is and,
once it serves, at which address and with which token its write requests are made.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from rag.errors import BadSetting, DataFolderInUse

_RETRY_S = 1.0  # a reader of the record holds the lock for an instant


@dataclass(frozen=True, slots=True)
class Record:
    pid: int
    doing: str
    url: str | None = None
    token: str = ""


class Owner:
    def __init__(self, folder: Path, record: Record) -> None:
        self.folder, self.record = folder, record
        self._write()

    def announce(self, url: str) -> None:
        """Other processes of this user reach the service at ``url`` from now on."""
        self.record = replace(self.record, url=url)
        self._write()

    def _write(self) -> None:
        aside = self.folder / "owner.json.new"
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(asdict(self.record)))
        aside.replace(self.folder / "owner.json")


@contextmanager
def claim(folder: Path, doing: str) -> Iterator[Owner]:
    """Raises DataFolderInUse, naming the owner's pid."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "owner.lock", thread_local=False)
        lock.acquire(timeout=_RETRY_S)
    except Timeout:
        record = _read(folder)
        raise DataFolderInUse.of(
            folder, record.pid if record else None, record.doing if record else ""
        ) from None
    except OSError as error:
        raise BadSetting(
            f"The data folder {folder} cannot be used: {error}",
            "Set OPENBOOK_DATA_DIR to a folder you can write.",
        ) from error
    try:
        yield Owner(folder, Record(os.getpid(), doing, token=secrets.token_urlsafe(32)))
    finally:
        (folder / "owner.json").unlink(missing_ok=True)
        lock.release()


def find(folder: Path) -> Record | None:
    """The process that owns the folder now, or None."""
    if not (folder / "owner.lock").exists():
        return None
    probe = FileLock(folder / "owner.lock", thread_local=False)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        for _ in range(10):  # between taking the lock and writing the record
            if record := _read(folder):
                return record
            time.sleep(0.05)
        return Record(0, "unknown")
    except OSError:
        return None
    probe.release()
    return None


def _read(folder: Path) -> Record | None:
    try:
        return Record(**json.loads((folder / "owner.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
