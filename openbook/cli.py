"""The ``openbook`` command: the commands of the packages under one name."""

from __future__ import annotations

import io
import os
import sys

# Before any import of a library that reads them: nothing leaves the machine, and nothing is asked for.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from importlib.metadata import version
from typing import Annotated

import typer

import api.cli
import evals.cli
import ingest.cli
import ingest.job_cli
import ingest.watch
from rag.errors import RagError
from rag.terminal import exit_code, out, print_error

app = typer.Typer(
    name="openbook",
    help="Long-context question answering over your documents and code, with citations that can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"openbook {version('openbook')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


for command in (
    api.cli.serve,
    ingest.cli.ingest,
    ingest.watch.watch,
    ingest.job_cli.jobs,
    api.cli.ask,
    api.cli.search,
    api.cli.status,
    ingest.cli.documents,
    ingest.cli.rm,
    ingest.cli.reindex,
    api.cli.doctor,
    evals.cli.verify,
):
    app.command()(command)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 the request was wrong, 3 not now, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character, or a name that is no UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except RagError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
