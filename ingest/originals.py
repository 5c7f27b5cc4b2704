"""The file that a document was read from, while it is still what was read."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from rag.errors import OriginalNotFound
from rag.types import Document


@dataclass(frozen=True, slots=True)
class Original:
    path: Path
    status: os.stat_result

    @property
    def name(self) -> str:
        """For a client: what of it is no UTF-8 is replaced."""
        return os.fsencode(self.path.name).decode(errors="replace")


def original(document: Document) -> Original:
    """Raises OriginalNotFound where it is gone, has changed, or is no file of its own (but in an archive, say)."""
    path = Path(os.fsdecode(unquote_to_bytes(urlsplit(document.source).path)))
    try:
        status = path.stat()
        same = stat.S_ISREG(status.st_mode) and document.content_hash == _hash(
            path, status.st_ino, status.st_size, status.st_mtime_ns
        )
    except (OSError, ValueError) as error:
        raise _missing(document, "it is not a file on this machine's disk, or cannot be read") from error
    if not same:
        raise _missing(document, "it has changed since it was read")
    return Original(path, status)


@lru_cache(maxsize=1024)
def _hash(path: Path, _inode: int, _size: int, _modified_ns: int) -> str:
    """Of its bytes; those of the same version are read once, since a viewer asks for many parts of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _missing(document: Document, why: str) -> OriginalNotFound:
    return OriginalNotFound(
        f"The file of document {document.name!r} cannot be given: {why}.",
        "Its text is in the index; to have the file too, ingest it again as it is now.",
    )
