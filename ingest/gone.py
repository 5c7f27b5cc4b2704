"""Which documents have gone from the folders that they were read from.

A document has gone when its file no longer exists. One that is there and is left out now (hidden, too large, not
readable) has not, and neither has one whose folder cannot be looked into.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rag.errors import SourceMissing
from rag.types import Document


def gone(
    documents: Sequence[Document],
    roots: Sequence[Path],
    *,
    seen: Collection[str] = (),
    unpacked: Collection[str] = (),
) -> list[Document]:
    """Those of ``documents`` from below ``roots`` whose file is not there any more.

    ``unpacked`` are the URIs of archives that have been read to their end, ``seen`` those of what was in them.
    Raises SourceMissing for a root that is missing, and for one that is an empty folder now though documents
    came from it: that is most often a volume that is not mounted.
    """
    found = []
    for root in roots:
        below = [document for document in documents if is_below(document.source, root)]
        _check(root, len(below))
        found += [document for document in below if is_gone(document.source, seen, unpacked)]
    return list({document.id: document for document in found}.values())


def is_below(source: str, root: Path) -> bool:
    """Whether the file of a source URI is ``root`` or lies below it."""
    uri = Path(os.path.realpath(root)).as_uri()
    return source == uri or source.startswith(uri.rstrip("/") + "/")


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


def is_gone(source: str, seen: Collection[str] = (), unpacked: Collection[str] = ()) -> bool:
    """Whether the file of a source URI is not there any more; the rest is as for ``gone``."""
    path = Path(unquote(urlsplit(source).path))
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except NotADirectoryError:  # what stood for a folder is a file: an archive
        archive = next(parent for parent in path.parents if os.path.lexists(parent))
        return archive.as_uri() in unpacked and source not in seen
    except OSError:
        return False
    return False
