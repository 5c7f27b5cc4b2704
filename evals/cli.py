"""The commands that measure and check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import evals.prefill.cli as prefill_cli
from evals import needle, run
from evals.citations import verify as verdicts
from evals.datasets import choose
from evals.options import (
    BaselineOption,
    CasesKindOption,
    CompareOption,
    DocumentsOption,
    FileOption,
    LimitOption,
    SeedOption,
    numbers,
    perform,
)
from rag import wire
from rag.errors import BadRequest
from rag.settings import load_settings
from rag.terminal import CollectionOption, JsonOption, out, print_json
from rag.types import Answer, short_name

evaluation = typer.Typer(
    name="eval",
    help="Measure retrieval and answers on published or one's own questions; docs/evals.md.",
    no_args_is_help=True,
)


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
    perform(
        "retrieval",
        lambda begin: run.evaluate_retrieval(
            load_settings(), data, folder, compared=baseline is not None, seed=seed, begin=begin
        ),
        json_file,
        compare,
    )


@evaluation.command("code")
def eval_code(
    folder: Annotated[Path, typer.Argument(help="A folder as SWE-QA, CoSQA or BEIR lays it out.")],
    code: Annotated[
        Path | None, typer.Option(help="Where the source distributions of SWE-QA's projects lie, unpacked.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="One of SWE-QA's projects; by default all.")] = None,
    split: Annotated[str | None, typer.Option(help="Which judgements of CoSQA or BEIR.")] = None,
    limit: LimitOption = None,
    seed: SeedOption = 0,
    json_file: FileOption = None,
    compare: CompareOption = None,
) -> None:
    """How well the files or functions that a question about code is about are ranked, beside BM25 on whole files."""
    data = choose.code(folder, code, project, split)
    sampled = {name: each.sample(limit, seed) for name, each in data.items()}
    perform(
        "code",
        lambda begin: run.evaluate_code(load_settings(), sampled, folder, seed=seed, begin=begin),
        json_file,
        compare,
    )


@evaluation.command("answers")
def eval_answers(
    path: Annotated[
        Path, typer.Argument(help="SQuAD 2.0, HotpotQA, FinanceBench, CLAPNQ, or one's own JSONL.")
    ],
    kind: CasesKindOption = None,
    documents: DocumentsOption = None,
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
    tokens = numbers(budgets, "--budgets")
    perform(
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
    sizes, places = numbers(lengths, "--lengths"), numbers(depths, "--depths")
    perform(
        "needle",
        lambda begin: run.evaluate_needles(
            load_settings(), collection, sizes, places, count=needles, seed=seed, begin=begin
        ),
        json_file,
        compare,
        show=lambda outcome: [needle.grid(outcome)],
    )


evaluation.command("prefill")(prefill_cli.prefill)
evaluation.command("frontier")(prefill_cli.frontier)


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
