"""Files of a line of JSON each, which a process may be killed in the midst of writing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """What a crash cut short is left out."""
    try:
        text = path.read_text()
    except OSError:
        return
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def append(path: Path, row: dict[str, Any]) -> None:
    # The line break comes first, so that one that a crash cut short does not spoil the next.
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"\n{json.dumps(row)}")


def replace(path: Path, rows: list[dict[str, Any]]) -> None:
    aside = path.with_suffix(".new")
    aside.write_text("\n".join(map(json.dumps, rows)))
    aside.replace(path)
