"""How long should it read: answers, time to the first token and cached share against the budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evals.answers import Measured, answer_measures
from evals.datasets.values import Case, Cases
from evals.engine import open_bench
from evals.generation import reserve
from evals.prefill.asking import Asked, Asker
from evals.prefill.chart import Chart, Line
from evals.prefill.run import OPENBOOK, written
from evals.prefill.tables import Grid, median, number, share, values
from evals.prefill.trace import CACHED, EVIDENCE, TTFT, costs, evidence
from evals.prefill.workloads import Turn, turns
from evals.progress import Begin, Done
from evals.report import Outcome, about
from evals.run import started
from evals.systems import Said
from rag.settings import Settings

TOKENS, PREDICTED = "tokens", "predicted TTFT s"
JUDGED = ("exact match", "F1")
NOT_ASKED = "Answers were not asked for: figures are of what is read and of the time to the first token."


async def evaluate_frontier(
    settings: Settings,
    data: Cases,
    path: Path,
    budgets: Sequence[int],
    *,
    generate: bool,
    seed: int,
    begin: Begin,
) -> Outcome:
    """Each budget begins with nothing in the server's cache; questions come in a random order, the same for all."""
    async with open_bench(settings) as bench:
        await started(bench.server)
        model = (await bench.rag.generator.model()).name
        serving = await written(settings, bench, data, (), None, begin)
        longest = await reserve(bench.rag) if generate else 1
        asked = turns("overlap", data, None, 0, seed)
        found: dict[str, Measured] = {turn.case.id: {} for turn in asked}
        for budget in budgets:
            async with serving.asker(None, budget) as asker:
                done = begin(f"{budget:,} tokens", len(asked))
                of_it = await _at(budget, asked, asker, longest, done, judged=generate)
            for id_, measured in of_it.items():
                found[id_] |= {f"{name} @ {budget}": score for name, score in measured.items()}
        counts = {"documents": len(data.corpus.names), "questions": len(data.cases)}
        told = about(bench.rag, path, counts, model, kind=data.kind, budgets=list(budgets), generate=generate)
        return Outcome("frontier", {OPENBOOK: found}, told, seed, [] if generate else [NOT_ASKED])


async def _at(
    budget: int, asked: Sequence[Turn], asker: Asker, longest: int, done: Done, *, judged: bool
) -> dict[str, Measured]:
    abstains = any(not turn.case.answers for turn in asked)
    found = {}
    for turn in asked:
        made = await asker.ask(turn.case.question, longest)
        found[turn.case.id] = dict(costs(made)) | evidence(turn, made) | _sizes(made)
        if judged:
            found[turn.case.id] |= _judged(turn.case, made, budget, abstains=abstains)
        done(1)
    return found


def _sizes(made: Asked) -> Measured:
    predicted = {PREDICTED: (made.predicted_s, 1.0)} if made.predicted_s is not None else {}
    return {TOKENS: (float(made.reading.tokens), 1.0), **predicted}


def _judged(case: Case, made: Asked, budget: int, *, abstains: bool) -> Measured:
    measured = answer_measures(case, Said(made.text, budget), abstains=abstains)
    return {name: measured[name] for name in JUDGED}


def grid(outcome: Outcome) -> Grid:
    header = ("budget", "requests", TOKENS, "TTFT p50 s", "predicted p50 s", CACHED, EVIDENCE, *JUDGED)
    rows = []
    for budget in outcome.about["settings"]["budgets"]:
        seconds = values(outcome, OPENBOOK, f"{TTFT} @ {budget}")
        halves = [
            median(values(outcome, OPENBOOK, f"{name} @ {budget}")) for name in (TOKENS, TTFT, PREDICTED)
        ]
        shares = [share(outcome, OPENBOOK, f"{name} @ {budget}")[0] for name in (CACHED, EVIDENCE, *JUDGED)]
        cells = ["" if each is None else number(each) for each in halves]
        rows.append((f"{budget:,}", str(len(seconds)), *cells, *shares))
    return Grid("How long should it read", header, rows, 0, (CACHED, EVIDENCE, *JUDGED))


def plot(outcome: Outcome) -> Chart:
    """Each point is a budget, at the time to the first token that it costs."""
    lines: list[Line] = []
    for name in (EVIDENCE, *JUDGED, CACHED):
        points: list[tuple[float, float]] = []
        labels: list[str] = []
        for budget in outcome.about["settings"]["budgets"]:
            x = median(values(outcome, OPENBOOK, f"{TTFT} @ {budget}"))
            y, _ = share(outcome, OPENBOOK, f"{name} @ {budget}")
            if x is not None and y:
                points.append((x, float(y)))
                labels.append(f"{budget:,}")
        if points:
            # The first line's labels stand for all: the others' points are above or below.
            lines.append(Line(name, points, () if lines else labels))
    return Chart("How long should it read: each point a budget of tokens", "median TTFT, s", "share", lines)
