"""What the commands that measure share: options, and how a run is shown, kept and compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from evals import report
from evals.datasets.values import CasesKind
from evals.progress import Begin, bars
from evals.report import Outcome
from rag.errors import BadRequest
from rag.terminal import err, out

LimitOption = Annotated[
    int | None, typer.Option(min=1, help="So many questions, chosen by the seed; by default all.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of samples and intervals.")]
BaselineOption = Annotated[
    Literal["llamaindex"] | None,
    typer.Option(help="Measure the ordinary llama-index pipeline too, on the same data and model."),
]
FileOption = Annotated[
    Path | None, typer.Option("--json", help="Write the run to this file, case by case.", dir_okay=False)
]
CompareOption = Annotated[
    Path | None, typer.Option(help="A file that --json wrote: print how this run differs.", dir_okay=False)
]
CasesKindOption = Annotated[
    CasesKind | None, typer.Option(help="The layout; by default what the path looks like.")
]
DocumentsOption = Annotated[
    Path | None,
    typer.Option(help="For one's own questions: the files; by default documents/ beside them."),
]
MarkdownOption = Annotated[
    Path | None, typer.Option(help="Write the tables to this file, as Markdown.", dir_okay=False)
]
HtmlOption = Annotated[
    Path | None, typer.Option(help="Write tables and plots to this file: one page.", dir_okay=False)
]


def perform(
    kind: str,
    evaluate: Callable[[Begin], Coroutine[None, None, Outcome]],
    json_file: Path | None,
    compare: Path | None,
    show: Callable[[Outcome], Iterable[Table]] = lambda outcome: [report.table(outcome)],
    pages: Iterable[tuple[Path | None, Callable[[Outcome], str]]] = (),
) -> None:
    """``pages`` are further files, where their paths are given, and what makes them."""
    before = report.load(compare, kind) if compare else None  # a wrong file is told before minutes of work
    with bars() as begin:
        outcome = asyncio.run(evaluate(begin))
    for number, table in enumerate(show(outcome)):
        if number:
            out.print()
        out.table(table)
    for note in outcome.notes:
        err.print(note, markup=False)
    if json_file:
        report.save(outcome, json_file)
    for path, page in pages:
        if path:
            report.write(path, page(outcome))
    if before:
        out.print()
        out.table(report.changes_table(report.changes(before, outcome)))
        for line in report.differing(before.about, outcome.about):
            err.print(line, markup=False)


def numbers(text: str, option: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise BadRequest(f"{option} {text} is no list of numbers.", "Write them as 2000,8000.")
    return found
