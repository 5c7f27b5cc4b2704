"""Files that were sent to the service. They are kept in the data folder and ingested from there as any other file is.

    files/NAME/uploads/...    what collection NAME was sent, by its first name (CollectionSettings.identity); a file
                              that is sent again replaces the one of its name
    files/.incoming/ID/       an upload on its way in
    files/.whole/ID/          one that has come in, until its files are in their places and its job is queued

The rename from ``.incoming`` to ``.whole`` is the moment from which an upload counts: what a crash leaves before it is
removed at the next start, what it leaves after it is brought to its end then.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from ingest.jobs import Job, Jobs, new_id
from ingest.run import Run
from ingest.upload_names import file_name
from rag import durable
from rag.errors import BadFileName, BadRequest, DiskFull, StoreUnavailable, UploadTooLarge
from rag.store.points import check_name

log = logging.getLogger(__name__)

MAX_FILES = 1000  # of one upload
RESERVE_BYTES = 512 * 2**20  # of the disk, which stay free: the index needs room, too

_PLACE = "uploads"  # the folder that the names of uploaded files begin with
_FILES, _RECORD = "files", "upload.json"  # in the folder of an upload


@dataclass(frozen=True, slots=True)
class Upload:
    """The files of one request; ``id`` is that of its job."""

    id: str
    collection: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that a collection was sent. ``version`` is another one when it has been replaced."""

    name: str
    source: str
    path: Path
    version: tuple[int, int]


class Incoming:
    """An upload on its way in, one file after the other.

    Raises BadFileName, UploadTooLarge, DiskFull and StoreUnavailable.
    """

    def __init__(self, folder: Path, collection: str) -> None:
        self.folder, self.collection = folder, collection
        self.names: list[str] = []
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        with _stored(folder.name, folder):
            (folder / _FILES).mkdir(parents=True)

    def begin_file(self, sent: str) -> None:
        name = file_name(sent)
        if len(self.names) == MAX_FILES:
            raise UploadTooLarge(
                f"These are more than {MAX_FILES:,} files.",
                "Send them in several requests, or as an archive.",
            )
        path = self.folder / _FILES / name
        with _stored(name, self.folder):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        self.names.append(name)
        self._digest.update(name.encode() + b"\0")

    def write(self, data: bytes) -> None:
        assert self._file
        if shutil.disk_usage(self.folder).free < RESERVE_BYTES + len(data):
            raise DiskFull.of(self.folder, RESERVE_BYTES)
        with _stored(self.names[-1], self.folder):
            self._file.write(data)
        self._digest.update(data)

    def end_file(self) -> None:
        assert self._file
        with _stored(self.names[-1], self.folder), self._file as file:
            file.flush()
            self._digest.update(b"\0%d\0" % file.tell())
            os.fsync(file.fileno())

    @property
    def digest(self) -> bytes:
        """Of the files so far, their names and their bytes."""
        return self._digest.digest()

    def seal(self) -> Upload:
        """Nothing more comes; all of it is on the disk."""
        if not self.names:
            raise BadRequest("No file was sent.", "Send at least one, as a part named 'files'.")
        upload = Upload(self.folder.name, self.collection, tuple(self.names))
        with _stored(_RECORD, self.folder):
            with (self.folder / _RECORD).open("x") as record:
                json.dump(asdict(upload), record)
                record.flush()
                os.fsync(record.fileno())
            for folder, _, _ in os.walk(self.folder):
                durable.sync(Path(folder))
        return upload

    def discard(self) -> None:
        """Of what has been accepted nothing is here any more."""
        if self._file:
            with suppress(OSError):  # a full disk may refuse what is still buffered
                self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Uploads:
    """One for a data folder, whose owner has it; safe to use from threads. ``identity``: what a collection goes by."""

    def __init__(self, data: Path, identity: Callable[[str], str] = str) -> None:
        self._identity = identity
        self._folder = data / "files"
        self._incoming, self._whole, self._dropped = (
            self._folder / name for name in (".incoming", ".whole", ".dropped")
        )
        self._lock = threading.Lock()  # of what lies in the places of files

    def begin(self, collection: str) -> Incoming:
        return Incoming(self._incoming / new_id(), check_name(collection))

    def accept(self, incoming: Incoming, jobs: Jobs, check: Callable[[], object] = lambda: None) -> Job:
        """The upload counts, and its job is queued. Raises BadFileName where an earlier file is in the way, and what
        ``check`` raises, which is called when no other upload can come before this one any more."""
        upload = incoming.seal()
        with self._lock:
            check()
            with _stored(upload.id, self._folder):
                for name in upload.names:
                    _check_place(self._root(upload.collection), name)
                self._whole.mkdir(exist_ok=True)
                incoming.folder.rename(self._whole / upload.id)
                durable.sync(self._whole)
                self._put_in_place(upload)
            return self._queue(upload, jobs)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no upload comes in, so that a collection's name may change."""
        with self._lock:
            yield

    def recover(self, jobs: Jobs) -> None:
        """Before anything is sent: what the process before has left half done."""
        for leftover in (self._incoming, self._dropped):
            shutil.rmtree(leftover, ignore_errors=True)
        for folder in sorted(self._whole.glob("*")):
            try:
                record = json.loads((folder / _RECORD).read_text())
                upload = Upload(record["id"], record["collection"], tuple(record["names"]))
                self._put_in_place(upload)
            except (OSError, ValueError, KeyError, TypeError):
                log.exception("the upload in %s cannot be taken up", folder)
            else:
                self._queue(upload, jobs)

    def sent(self, collection: str) -> list[Sent]:
        """All files that the collection was sent, by name."""
        root = self._root(collection).resolve()
        paths = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
        return [
            Sent(f"{_PLACE}/{path.relative_to(root).as_posix()}", path.as_uri(), path, version)
            for path in sorted(paths)
            if (version := _version(path))
        ]

    def remove(self, files: Sequence[Sent]) -> None:
        """But for those that have been sent again meanwhile."""
        with self._lock:
            for file in files:
                if _version(file.path) == file.version:
                    file.path.unlink()
                    _remove_empty(file)

    def drop(self, collection: str) -> None:
        """All files of the collection."""
        folder, dropped = self._root(collection).parent, self._dropped / new_id()
        with self._lock:
            if folder.is_dir():
                self._dropped.mkdir(exist_ok=True)
                folder.rename(dropped)
        shutil.rmtree(dropped, ignore_errors=True)

    def _root(self, collection: str) -> Path:
        return self._folder / self._identity(check_name(collection)) / _PLACE

    def _put_in_place(self, upload: Upload) -> None:
        """Can be repeated."""
        root, aside = self._root(upload.collection), self._whole / upload.id / _FILES
        for name in upload.names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # moved already, before a crash
                (aside / name).replace(root / name)
        places = {folder for name in upload.names for folder in (root / name).parents}
        for folder in places - set(self._folder.parent.parents):
            durable.sync(folder)

    def _queue(self, upload: Upload, jobs: Jobs) -> Job:
        root = self._root(upload.collection)
        paths = tuple(str(root / name) for name in upload.names)
        job = jobs.add(Run(upload.collection, (str(root),), changed=paths, explicit=True), upload.id)
        shutil.rmtree(self._whole / upload.id)
        return job


def _check_place(root: Path, name: str) -> None:
    if (root / name).is_dir():
        raise BadFileName.of(name, "a folder of that name was sent before")
    for folder in (root / name).relative_to(root).parents:
        if (root / folder).is_file():
            raise BadFileName.of(name, f"{folder.as_posix()!r} was sent before, and is a file")


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _remove_empty(file: Sent) -> None:
    """The folders that were made for a file's name, as far as nothing else is in them."""
    for folder in file.path.parents[: file.name.count("/") - 1]:
        try:
            folder.rmdir()
        except OSError:
            return


@contextmanager
def _stored(name: str, folder: Path) -> Iterator[None]:
    """What goes wrong when ``name`` is stored below ``folder``."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise BadFileName.of(name, "another file or folder of this upload has it") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise BadFileName.of(name, "it is too long for the disk") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull.of(folder, RESERVE_BYTES) from error
        raise StoreUnavailable(
            f"{name} cannot be stored in {folder}: {error.strerror}.", "Check the data folder."
        ) from error
