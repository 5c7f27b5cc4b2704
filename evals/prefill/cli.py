"""openbook eval prefill and openbook eval frontier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evals.datasets import choose
from evals.options import (
    CasesKindOption,
    CompareOption,
    DocumentsOption,
    FileOption,
    HtmlOption,
    LimitOption,
    MarkdownOption,
    SeedOption,
    numbers,
    perform,
)
from evals.prefill import frontier as sweep_of_budgets
from evals.prefill import page, tables
from evals.prefill.run import Plan, evaluate_prefill
from evals.prefill.serving import Baseline
from evals.prefill.workloads import NAMES, WorkloadName
from evals.report import Outcome
from rag.errors import BadRequest
from rag.settings import load_settings

PREFILL, FRONTIER = "openbook eval prefill", "openbook eval frontier"
CasesArgument = Annotated[
    Path, typer.Argument(help="SQuAD 2.0, HotpotQA, FinanceBench, CLAPNQ, or one's own JSONL.")
]


def prefill(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="CASES", help="As of eval answers; without any, the model server alone."),
    ] = None,
    kind: CasesKindOption = None,
    documents: DocumentsOption = None,
    limit: LimitOption = None,
    lengths: Annotated[
        str, typer.Option(help="Tokens of prompts to the model server alone.")
    ] = "512,1024,2048,4096",
    repeats: Annotated[int, typer.Option(min=1, help="Of each length.")] = 3,
    context_tokens: Annotated[int, typer.Option(min=128, help="Tokens of documents in a question.")] = 2000,
    workloads: Annotated[str, typer.Option(help="Which ones to measure.")] = ",".join(NAMES),
    groups: Annotated[
        int,
        typer.Option(min=1, help="Questions that are asked again, pairs, conversations: so many of each."),
    ] = 20,
    long_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens of long questions under mixed load; 0 leaves it out.")
    ] = 4000,
    window_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens of contexts whose preparation is timed; 0 leaves it out.")
    ] = 131072,
    baseline: Annotated[
        list[Baseline] | None,
        typer.Option(help="Put the workloads to this system, too, on the same server; may be repeated."),
    ] = None,
    contextpilot_python: Annotated[
        Path | None,
        typer.Option(help="The interpreter that has contextpilot; by default this one.", dir_okay=False),
    ] = None,
    seed: SeedOption = 0,
    json_file: FileOption = None,
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
    compare: CompareOption = None,
) -> None:
    """How long until the first token, and how much of the prompts the model server has in its prefix cache."""
    data = choose.cases(path, kind, documents) if path else None
    plan = Plan(
        lengths=numbers(lengths, "--lengths"),
        repeats=repeats,
        budget=context_tokens,
        limit=limit,
        workloads=_workloads(workloads),
        groups=groups,
        long=long_tokens,
        window=window_tokens,
        baselines=tuple(dict.fromkeys(baseline or ())),
        seed=seed,
    )
    perform(
        "prefill",
        lambda begin: evaluate_prefill(load_settings(), data, path, plan, contextpilot_python, begin),
        json_file,
        compare,
        show=lambda outcome: [grid.rich() for grid in tables.grids(outcome)],
        pages=[
            (markdown, lambda outcome: page.markdown(outcome, PREFILL, tables.grids(outcome))),
            (
                html,
                lambda outcome: page.html(outcome, PREFILL, tables.grids(outcome), tables.charts(outcome)),
            ),
        ],
    )


def frontier(
    path: CasesArgument,
    kind: CasesKindOption = None,
    documents: DocumentsOption = None,
    limit: LimitOption = None,
    budgets: Annotated[str, typer.Option(help="Tokens of documents.")] = "500,1000,2000,4000",
    generate: Annotated[
        bool,
        typer.Option("--generate/--no-generate", help="Judge answers, too; without, one token is asked for."),
    ] = True,
    seed: SeedOption = 0,
    json_file: FileOption = None,
    markdown: MarkdownOption = None,
    html: HtmlOption = None,
    compare: CompareOption = None,
) -> None:
    """How long it should read: answers, time to the first token and cached share under each budget."""
    data = choose.cases(path, kind, documents).sample(limit, seed)
    tokens = numbers(budgets, "--budgets")

    def grids(outcome: Outcome) -> list[tables.Grid]:
        return [sweep_of_budgets.grid(outcome)]

    perform(
        "frontier",
        lambda begin: sweep_of_budgets.evaluate_frontier(
            load_settings(), data, path, tokens, generate=generate, seed=seed, begin=begin
        ),
        json_file,
        compare,
        show=lambda outcome: [grid.rich() for grid in grids(outcome)],
        pages=[
            (markdown, lambda outcome: page.markdown(outcome, FRONTIER, grids(outcome))),
            (
                html,
                lambda outcome: page.html(
                    outcome, FRONTIER, grids(outcome), [sweep_of_budgets.plot(outcome)]
                ),
            ),
        ],
    )


def _workloads(text: str) -> tuple[WorkloadName, ...]:
    asked = [name.strip() for name in text.split(",")]
    if unknown := [name for name in asked if name not in NAMES]:
        raise BadRequest(f"--workloads {unknown[0]} is none of them.", f"Name some of: {', '.join(NAMES)}.")
    return tuple(name for name in NAMES if name in asked)
