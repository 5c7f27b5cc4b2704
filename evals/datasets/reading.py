"""Reading the files of a data set, with errors that name the file and the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rag.errors import BadRequest


@contextmanager
def reading(path: Path, line: int | None = None) -> Iterator[None]:
    """What goes wrong within is the fault of this file, and says so."""
    try:
        yield
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        at = f"{path}, line {line}" if line else f"{path}"
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BadRequest(f"{at}: {missing}.", "docs/evals.md describes each layout.") from error


def json_of(path: Path) -> Any:
    with reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers, from 1, and the objects on them."""
    with reading(path):
        lines = path.read_text(encoding="utf-8").split("\n")  # not at every line end that Unicode knows
    for number, line in enumerate(lines, 1):
        if line.strip():
            with reading(path, number):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("an object is expected on each line")
            yield number, row


def tsv(path: Path) -> Iterator[tuple[int, list[str]]]:
    with reading(path), path.open(encoding="utf-8", newline="") as file:
        yield from enumerate(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 1)
