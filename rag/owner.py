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
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from rag import data_format
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
        aside.unlink(missing_ok=True)  # one that a crash left may be readable by others
        aside.touch(mode=0o600, exist_ok=False)
        aside.write_text(json.dumps(asdict(self.record)))
        aside.replace(self.folder / "owner.json")


@contextmanager
def claim(folder: Path, doing: str) -> Iterator[Owner]:
    """The folder is in the present format. Raises DataFolderInUse, naming the owner's pid, BadSetting where the folder
    cannot be used, and what data_format.bring_up raises."""
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _lock(folder)
            lock.acquire(timeout=_RETRY_S)
            stack.callback(lock.release)
            stack.callback((folder / "owner.json").unlink, missing_ok=True)
            owner = Owner(folder, Record(os.getpid(), doing, token=secrets.token_urlsafe(32)))
            data_format.bring_up(folder)
        except Timeout:
            record = _record(folder)
            raise DataFolderInUse.of(folder, record.pid or None, record.doing) from None
        except OSError as error:
            raise BadSetting(
                f"The data folder {folder} cannot be used: {error}",
                "Set OPENBOOK_DATA_DIR to a folder you can write.",
            ) from error
        yield owner


def _lock(folder: Path) -> FileLock:
    # Where the file system has no locks, a file in their place would outlive a crash: better an error.
    return FileLock(folder / "owner.lock", thread_local=False, fallback_to_soft=False)


def find(folder: Path) -> Record | None:
    """The process that owns the folder now, or None; None too where the folder cannot be read."""
    try:
        if not (folder / "owner.lock").exists():
            return None
        probe = _lock(folder)
        probe.acquire(timeout=0)
    except Timeout:
        return _record(folder)
    except OSError:
        return None
    probe.release()
    return None


def _record(folder: Path) -> Record:
    """Of a folder that is owned. Between taking the lock and writing the record there may be none, or one that a crash
    left, of a process that is gone; from another container the owner, too, may look as if it were."""
    for _ in range(10):
        record = _read(folder)
        if record and _is_running(record.pid):
            break
        time.sleep(0.05)
    return record or Record(0, "unknown")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, or no number that a process has
        return True
    return True


def _read(folder: Path) -> Record | None:
    try:
        record = Record(**json.loads((folder / "owner.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return record if isinstance(record.pid, int) else None
