"""Files that changed below watched folders, found as a walk of the whole folder would find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ingest.sources import MAX_BYTES, Found, Walk, left_out


def find_changed(
    changed: Iterable[Path],
    roots: Sequence[Path],
    *,
    explicit: bool = False,
    all_files: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Found:
    """Those of ``changed`` that exist: files, and folders with all below them (one that was moved here changes
    as one). What a walk from ``roots`` would not reach is left out without a word: its folder was reported when
    that was walked. ``explicit`` ones are files, and taken wherever they are below the roots."""
    walk = Walk(max_bytes, all_files=all_files)
    for path in sorted(set(changed)):
        for root in roots:
            if path.exists() and (name := _name(path, root, explicit)):
                if explicit:
                    walk.file(path, name, explicit=True)
                else:
                    walk.entry(path, name)
                break
    return Found(tuple(walk.sources.values()), tuple(walk.skipped))


def _name(path: Path, root: Path, explicit: bool) -> str | None:
    """``path`` as a walk from ``root`` names it; None where it is not below it, or in a folder left out unless it is
    ``explicit``."""
    if path == root:
        return root.resolve().name or "root"
    if root not in path.parents:
        return None
    inner = path.relative_to(root)
    above = [root / parent for parent in inner.parents if parent.parts]
    if not explicit and any(left_out(folder) for folder in above):
        return None
    return f"{root.resolve().name or 'root'}/{inner.as_posix()}"
