"""The commands that measure and check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from evals.citations import verify as verdicts
from rag import wire
from rag.errors import BadRequest
from rag.terminal import JsonOption, out, print_json
from rag.types import Answer, short_name


def verify(
    answer: Annotated[
        Path, typer.Argument(help="A file with the JSON of openbook ask --json; - for standard input.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Read every quotation of an answer again in its source: words, offsets, page, lines. Exit code 1 if not so."""
    found = list(verdicts(_load(answer)))
    if as_json:
        print_json([wire.dump(verdict) for verdict in found])
    for verdict in [] if as_json else found:
        out.print(
            f"[{verdict.number}] {short_name(verdict.source)}: {verdict.problem or 'holds'}", markup=False
        )
    if not as_json:
        out.print(f"{len(found)} citations, {sum(not verdict.problem for verdict in found)} hold")
    if any(verdict.problem for verdict in found):
        raise typer.Exit(1)


def _load(path: Path) -> Answer:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
        return wire.load(Answer, json.loads(text))
    except OSError as error:
        raise BadRequest(
            f"{path} cannot be read: {error.strerror}.", "Name a file, or - for standard input."
        ) from error
    except ValueError as error:  # not JSON, or not an answer
        raise BadRequest(
            f"{path} does not hold an answer.", "Make one with: openbook ask ... --json"
        ) from error
