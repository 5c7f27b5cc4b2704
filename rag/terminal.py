"""What the command lines of all packages share: the options, and where text for people and for programs goes."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rag import wire
from rag.errors import (
    AccessError,
    BadRequest,
    CollectionExists,
    ContextTooLong,
    DataTooNew,
    EmbedderUnavailable,
    FingerprintMismatch,
    ModelUnavailable,
    NotEmpty,
    NotEnoughMemory,
    NotFound,
    RagError,
    RerankerUnavailable,
    ServiceError,
    SourceMissing,
    StoreError,
)

# Characters that a terminal would obey: a document or a file's name must not move the cursor or set colours.
_SHOWN = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n\r"}
_SHOWN |= {0x7F: "\u2421"} | dict.fromkeys((*range(0x80, 0xA0), *range(0xD800, 0xE000)), "\ufffd")

_UNCUT = 100_000  # characters


class Terminal(Console):
    """A console that prints what it is given: control characters are shown, and ``:names:`` stay names."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, emoji=False, width=width)

    def table(self, table: Table, style: str | None = None) -> None:
        """Where no terminal sets a width, nothing is cut to one: a program reads it, or a file keeps it."""
        if self.is_terminal:
            self.print(table, style=style)
            return
        uncut = Terminal(width=_UNCUT)
        with uncut.capture() as captured:
            uncut.print(table)
        for line in captured.get().splitlines():
            self.print(line.rstrip(), markup=False)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(_SHOWN), **options)


out = Terminal()
err = Terminal(stderr=True)

CollectionOption = Annotated[
    str, typer.Option("--collection", "-c", help="The collection to use.", show_default=True)
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; nothing else goes to stdout.")
]

# 0 done; 1 failed; 2 the request was wrong; 3 not now: try again, or start or free something first.
# The first that fits, so the special before the general.
EXIT_CODES: tuple[tuple[type[RagError], int], ...] = (
    (AccessError, 2),
    (BadRequest, 2),
    (NotFound, 2),
    (SourceMissing, 2),
    (ContextTooLong, 2),
    (CollectionExists, 2),
    (NotEmpty, 2),
    (ModelUnavailable, 3),
    (EmbedderUnavailable, 3),
    (RerankerUnavailable, 3),
    (NotEnoughMemory, 3),
    (DataTooNew, 1),
    (FingerprintMismatch, 1),  # trying again does not help
    (StoreError, 3),
    (ServiceError, 3),
)


def exit_code(error: RagError) -> int:
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def literal(text: str) -> str:
    """``text`` for where rich reads markup and does not pass it through a Terminal: titles and progress bars."""
    return escape(text.translate(_SHOWN))


def print_json(value: Any) -> None:
    """A value of rag.types, or plain data, as JSON on standard output."""
    data = value if isinstance(value, (dict, list)) else wire.dump(value)
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(data, ensure_ascii=not unicode, indent=2) + "\n")


def print_error(error: RagError) -> None:
    err.print("[red]error:[/red]", escape(error.message))
    if error.hint:
        err.print(f"  {error.hint}", markup=False)
