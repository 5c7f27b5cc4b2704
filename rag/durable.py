"""What is on the disk after a crash: small files written in one step, and the names in a folder."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """In one step: after a crash the file holds what it held before, or all of it. On the disk on return, name and all.
    Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """The names in a folder are on the disk on return. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
