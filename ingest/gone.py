"""Which documents have gone from the folders that they were read from.

A document has gone when its file no longer exists: on the disk, or in the commit that its folder is read from. One
that is there and is left out now (hidden, too large, not readable) has not, and neither has one whose folder cannot be
looked into.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.containers.unpack import is_container
from ingest.media_types import by_name
from rag.errors import SourceMissing
from rag.types import Document

# What stands at the path of a source: that path itself, a file above it, or None for nothing.
Standing = Callable[[Path], Path | None]


def on_disk(path: Path) -> Path | None:
    try:
        # A document was a file: a folder in its place is something else.
        return None if stat.S_ISDIR(path.lstat().st_mode) else path
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return next(parent for parent in path.parents if os.path.lexists(parent))
    except OSError:
        return path


def gone(
    documents: Sequence[Document],
    roots: Iterable[Path],
    *,
    seen: Collection[str] = (),
    unpacked: Collection[str] = (),
    standing: Standing = on_disk,
) -> list[Document]:
    """Those of ``documents`` from below ``roots`` whose file is not there any more.

    ``unpacked`` are the URIs of archives that have been read to their end, ``seen`` those of what was in them.
    """
    below = [document for root in roots for document in _below(documents, root)]
    found = [document for document in below if is_gone(document.source, seen, unpacked, standing)]
    return list({document.id: document for document in found}.values())


def _below(documents: Sequence[Document], root: Path) -> list[Document]:
    """Those whose file is ``root`` or lies below it."""
    uri = Path(os.path.realpath(root)).as_uri()
    folder = uri.rstrip("/") + "/"
    return [each for each in documents if each.source == uri or each.source.startswith(folder)]


def check(documents: Sequence[Document], roots: Iterable[Path]) -> None:
    """Raises SourceMissing for a root that is missing, and for one that is an empty folder now though documents
    came from it: that is most often a volume that is not mounted."""
    for root in roots:
        _check(root, len(_below(documents, root)))


def _check(root: Path, documents: int) -> None:
    if not os.path.lexists(root):
        raise SourceMissing(
            f"{root} does not exist, so what has gone from it cannot be told.",
            f"If it was deleted: openbook rm {root}",
        )
    if documents and root.is_dir() and not any(root.iterdir()):
        raise SourceMissing(
            f"{root} is empty, and {documents} documents came from it: is a volume not mounted?",
            f"If it was emptied: openbook rm {root}",
        )


def is_gone(
    source: str,
    seen: Collection[str] = (),
    unpacked: Collection[str] = (),
    standing: Standing = on_disk,
) -> bool:
    """Whether the file of a source URI is not there any more; the rest is as for ``gone``."""
    path = path_of(source)
    at = standing(path)
    if at is None or at == path:
        return at is None
    # What stands for a folder is a file: an archive, or else another file than there was.
    return not is_container(by_name(at.name) or "") or (at.as_uri() in unpacked and source not in seen)


def path_of(source: str) -> Path:
    return Path(unquote(urlsplit(source).path, errors="surrogateescape"))
