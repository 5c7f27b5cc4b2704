"""Files that hold other files: ZIP, TAR (also compressed), MBOX, and e-mail with what is attached to it.

Every file inside comes out as an `Inner`, whose bytes lie in a numbered file, or as a `Refused` with the reason;
what a folder's walk would leave out (hidden files, caches, unknown types) is refused here too. Names in a
container are labels only, so none can lead a write anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ingest.containers.archives import unpack_compressed, unpack_tar, unpack_zip
from ingest.containers.attachments import unpack_mail, unpack_mbox, unpack_message
from ingest.containers.taker import Budget, Inner, Refused, Taker, UnpackLimits, Unwritable
from ingest.media_types import MEDIA_TYPES

__all__ = ["Budget", "Inner", "Refused", "UnpackLimits", "is_container", "is_document", "unpack"]

_UNPACKERS: dict[str, Callable[[Path, Taker], None]] = {
    MEDIA_TYPES[".zip"]: unpack_zip,
    MEDIA_TYPES[".tar"]: unpack_tar,
    MEDIA_TYPES[".gz"]: unpack_compressed,
    MEDIA_TYPES[".bz2"]: unpack_compressed,
    MEDIA_TYPES[".xz"]: unpack_compressed,
    MEDIA_TYPES[".mbox"]: unpack_mbox,
    MEDIA_TYPES[".eml"]: unpack_mail,
    MEDIA_TYPES[".msg"]: unpack_message,
}
_MAIL = (MEDIA_TYPES[".eml"], MEDIA_TYPES[".msg"])


def is_container(media_type: str) -> bool:
    """Whether files of this type hold other files that are to be read."""
    return media_type in _UNPACKERS


def is_document(media_type: str) -> bool:
    """Whether files of this type are read themselves: an e-mail is, an archive is nothing but its files."""
    return media_type in _MAIL or not is_container(media_type)


def unpack(
    path: Path, media_type: str, into: Path, budget: Budget | None = None, *, name: str = ""
) -> tuple[list[Inner], list[Refused], int]:
    """Writes the files inside ``path`` to numbered files in the folder ``into``, which must exist and be empty. The
    number is that of the bytes that came out, those of refused files included.

    One level deep: an archive within an archive is an Inner like any other, for which ``budget`` says what others
    have left of it. ``name`` stands for the container in messages; the file's own by default. Raises SourceCorrupt
    where the container cannot be opened at all, KeyError for a type that is no container, OSError where ``path``
    cannot be read or ``into`` takes no more.
    """
    packed = path.stat().st_size
    taker = Taker(name or path.name, into, budget or Budget(packed), packed)
    try:
        _UNPACKERS[media_type](path, taker)
    except Unwritable as exc:
        raise exc.__cause__ or exc from None
    return taker.inner, taker.refused, taker.total
