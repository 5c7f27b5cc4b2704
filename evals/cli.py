"""The commands that measure and check."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from evals import needle, report, run
from evals.citations import verify as verdicts
from evals.datasets import choose
from evals.datasets.values import CasesKind
from evals.progress import Begin, bars
from evals.report import Outcome
from rag import wire
from rag.errors import BadRequest
from rag.settings import load_settings
from rag.terminal import CollectionOption, JsonOption, err, out, print_json
from rag.types import Answer, short_name

evaluation = typer.Typer(
    name="eval",
    help="Measure retrieval and answers on published or one's own questions; docs/evals.md.",
    no_args_is_help=True,
)

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


@evaluation.command("retrieval")
def eval_retrieval(
    folder: Annotated[Path, typer.Argument(help="A folder as BEIR or CoSQA lays it out.")],
    split: Annotated[str | None, typer.Option(help="Which judgements; by default test.")] = None,
    limit: LimitOption = None,
    baseline: BaselineOption = None,
    seed: SeedOption = 0,
    json_file: FileOption = None,
    compare: CompareOption = None,
) -> None:
    """How well the documents that matter are ranked: nDCG@10, Recall@5/10/100, MRR@10."""
    data = choose.rankings(folder, split).sample(limit, seed)
    _perform(
        "retrieval",
        lambda begin: run.evaluate_retrieval(
            load_settings(), data, folder, compared=baseline is not None, seed=seed, begin=begin
        ),
        json_file,
        compare,
    )


@evaluation.command("answers")
def eval_answers(
    path: Annotated[
        Path, typer.Argument(help="SQuAD 2.0, HotpotQA, FinanceBench, CLAPNQ, or one's own JSONL.")
    ],
    kind: Annotated[
        CasesKind | None, typer.Option(help="The layout; by default what the path looks like.")
    ] = None,
    documents: Annotated[
        Path | None,
        typer.Option(help="For one's own questions: the files; by default documents/ beside them."),
    ] = None,
    limit: LimitOption = None,
    budgets: Annotated[
        str, typer.Option(help="Tokens of documents under which to look for the evidence.")
    ] = "2000,8000,16000,32000",
    generate: Annotated[
        bool | None,
        typer.Option(
            "--generate/--no-generate",
            help="Ask the model, too, starting the managed one; by default if one answers.",
            show_default=False,
        ),
    ] = None,
    closed_book: Annotated[
        bool, typer.Option("--closed-book", help="Ask the model without any documents, too.")
    ] = False,
    baseline: BaselineOption = None,
    seed: SeedOption = 0,
    json_file: FileOption = None,
    compare: CompareOption = None,
) -> None:
    """Whether the evidence is read, and, where a model answers, whether answers and citations are right."""
    data = choose.cases(path, kind, documents).sample(limit, seed)
    tokens = _numbers(budgets, "--budgets")
    _perform(
        "answers",
        lambda begin: run.evaluate_answers(
            load_settings(),
            data,
            path,
            tokens,
            generate=generate,
            control=closed_book,
            compared=baseline is not None,
            seed=seed,
            begin=begin,
        ),
        json_file,
        compare,
    )


@evaluation.command("needle")
def eval_needle(
    collection: CollectionOption = "default",
    lengths: Annotated[str, typer.Option(help="Tokens of documents.")] = "2000,8000,16000,32000",
    depths: Annotated[str, typer.Option(help="Percent of them before the needle.")] = "0,25,50,75,100",
    needles: Annotated[
        int, typer.Option(min=1, help="Needles for each length and depth, one at a time.")
    ] = 1,
    seed: SeedOption = 0,
    json_file: FileOption = None,
    compare: CompareOption = None,
) -> None:
    """Whether the served model finds a fact put into one's own documents, by length and depth."""
    sizes, places = _numbers(lengths, "--lengths"), _numbers(depths, "--depths")
    _perform(
        "needle",
        lambda begin: run.evaluate_needles(
            load_settings(), collection, sizes, places, count=needles, seed=seed, begin=begin
        ),
        json_file,
        compare,
        show=needle.grid,
    )


def _perform(
    kind: str,
    evaluate: Callable[[Begin], Coroutine[None, None, Outcome]],
    json_file: Path | None,
    compare: Path | None,
    show: Callable[[Outcome], Table] = report.table,
) -> None:
    before = report.load(compare, kind) if compare else None  # a wrong file is told before minutes of work
    with bars() as begin:
        outcome = asyncio.run(evaluate(begin))
    out.table(show(outcome))
    for note in outcome.notes:
        err.print(note, markup=False)
    if json_file:
        report.save(outcome, json_file)
    if before:
        out.print()
        out.table(report.changes_table(report.changes(before, outcome)))
        for line in report.differing(before.about, outcome.about):
            err.print(line, markup=False)


def _numbers(text: str, option: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0:
        raise BadRequest(f"{option} {text} is no list of numbers.", "Write them as 2000,8000.")
    return found


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
