"""What the command lines of all packages share: the options, and where text for people and for programs goes."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from rag import wire
from rag.errors import (
    BadRequest,
    ModelUnavailable,
    NotFound,
    RagError,
    ServiceUnreachable,
    SourceMissing,
    StoreError,
)

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", help="The collection to use.", show_default=True)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; nothing else goes to stdout.")
]

# 0 done; 1 failed; 2 the request was wrong; 3 not now: try again, or start or free something first
EXIT_CODES: tuple[tuple[type[RagError], int], ...] = (
    (BadRequest, 2),
    (NotFound, 2),
    (SourceMissing, 2),
    (ModelUnavailable, 3),
    (StoreError, 3),
    (ServiceUnreachable, 3),
)


def exit_code(error: RagError) -> int:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def print_json(value: Any) -> None:
    """A value of rag.types, or plain data, as JSON on standard output."""
    data = value if isinstance(value, (dict, list)) else wire.dump(value)
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")


def print_error(error: RagError) -> None:
    err.print(f"[red]error:[/red] {_safe(error.message)}")
    if error.hint:
        err.print(f"  {_safe(error.hint)}")


def _safe(text: str) -> str:
    # Rich would read [n] and [path] in messages as markup.
    return text.replace("[", "\\[")
