"""A small file in one step: after a crash it holds what it held before, or all of what it was to hold."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str) -> None:
    """On the disk, name and all, on return. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
