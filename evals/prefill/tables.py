"""What a run of prefill has found, as tables: the same values on a terminal, in Markdown and in HTML. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from evals.bootstrap import figure
from evals.prefill.chart import Chart, Line
from evals.prefill.long import AGAIN, OTHER, UNMET
from evals.prefill.sweep import PROCESSING, RATE, SERVER, STATES, TTFR, row
from evals.prefill.sweep import TTFT as SERVER_TTFT
from evals.prefill.targets import BY_TARGET, IN_TIME, READ, SHARES
from evals.prefill.targets import row as row_of_target
from evals.prefill.trace import CACHED, ERROR, EVIDENCE, FORETOLD, TTFT
from evals.prefill.waits import ABOVE, INSIDE, LONG, SHORT
from evals.report import Outcome
from rag.terminal import literal

CACHED_OF = {"cold": "none cached", "partial": "half cached", "warm": "all cached"}


@dataclass(frozen=True, slots=True)
class Grid:
    """The first columns, ``names`` of them, hold words, the others numbers; those of ``shares`` are from 0 to 1, and a
    page shows them as bars, too."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    shares: Sequence[str] = ()

    def rich(self) -> Table:
        made = Table(title=self.title, title_justify="left", box=None, header_style="bold", pad_edge=False)
        for at, column in enumerate(self.header):
            made.add_column(column, justify="left" if at < self.names else "right")
        for cells in self.rows:
            made.add_row(*map(literal, cells))
        return made

    def markdown(self) -> str:
        ruler = [":---" if at < self.names else "---:" for at in range(len(self.header))]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.header, ruler, *self.rows)]
        return "\n".join([f"## {self.title}", "", *lines])


def grids(outcome: Outcome) -> list[Grid]:
    """Without those that nothing was measured for."""
    made = (server(outcome), workloads(outcome), predictions(outcome), targets(outcome), waits(outcome))
    return [grid for grid in made if grid.rows]


def server(outcome: Outcome) -> Grid:
    """As llama-benchy lays it out: means and standard deviations over the repeats."""
    header = ("model", "test", RATE, TTFR, PROCESSING, SERVER_TTFT)
    rows = []
    for length in outcome.about["settings"]["lengths"]:
        for test in (row(length, state) for state in STATES):
            cells = [_spread(values(outcome, SERVER, f"{test}: {name}")) for name in header[2:]]
            rows.append((str(outcome.about["model"]), test, *cells))
    return Grid("The model server alone", header, rows, names=2)


def workloads(outcome: Outcome) -> Grid:
    header = ("workload", "system", "requests", CACHED, "95 %", "TTFT p50 s", "p95", EVIDENCE)
    rows = []
    for name in outcome.about["settings"]["workloads"]:
        for system in outcome.systems:
            seconds = values(outcome, system, f"{name}: {TTFT}")
            if seconds:
                cached = share(outcome, system, f"{name}: {CACHED}")
                read = share(outcome, system, f"{name}: {EVIDENCE}")[0]
                rows.append((name, system, str(len(seconds)), *cached, *_percentiles(seconds, 50, 95), read))
    return Grid(
        "Prompt tokens from the server's cache, by its own count", header, rows, 2, (CACHED, EVIDENCE)
    )


def predictions(outcome: Outcome) -> Grid:
    header = ("workload", "requests", "error of TTFT p50", "p90", "cached tokens foretold")
    rows = []
    for name in outcome.about["settings"]["workloads"]:
        (system,) = [each for each in outcome.systems if each == "openbook"] or [""]
        errors = values(outcome, system, f"{name}: {ERROR}")
        right = share(outcome, system, f"{name}: {FORETOLD}")[0]
        if errors or right:
            rows.append((name, str(len(errors)), *_percentiles(errors, 50, 90), right))
    return Grid("What openbook foretold", header, rows)


def targets(outcome: Outcome) -> Grid:
    header = ("of the cold TTFT", "requests", IN_TIME, "95 %", f"{BY_TARGET} p50", "p90", f"{READ} p50")
    rows = []
    for of in map(row_of_target, SHARES):
        by_target = values(outcome, "openbook", f"{of}: {BY_TARGET}")
        if by_target:
            in_time = share(outcome, "openbook", f"{of}: {IN_TIME}")
            read = _percentiles(values(outcome, "openbook", f"{of}: {READ}"), 50)
            rows.append((of, str(len(by_target)), *in_time, *_percentiles(by_target, 50, 90), *read))
    return Grid("Targets for the first token", header, rows, shares=(IN_TIME,))


def waits(outcome: Outcome) -> Grid:
    rows = []
    for measure in (SHORT, LONG, ABOVE, INSIDE, UNMET, OTHER, AGAIN):
        found = values(outcome, "openbook", measure)
        if found:
            rows.append((measure, str(len(found)), *_percentiles(found, 50, 95, 99)))
    return Grid("Waits in openbook", ("", "requests", "p50", "p95", "p99"), rows)


def values(outcome: Outcome, system: str, measure: str) -> list[float]:
    return [value / weight for value, weight in outcome.of(system, measure).values() if weight]


def median(found: Sequence[float]) -> float | None:
    return float(np.median(found)) if found else None


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _percentiles(found: Sequence[float], *at: int) -> Iterator[str]:
    yield from (number(float(np.percentile(found, each))) if found else "" for each in at)


def _spread(found: Sequence[float]) -> str:
    return f"{np.mean(found):,.2f} ± {np.std(found):,.2f}" if found else ""


def share(outcome: Outcome, system: str, measure: str) -> tuple[str, str]:
    found = figure(list(outcome.of(system, measure).values()), outcome.seed)
    return (f"{found.value:.3f}", f"{found.low:.3f}-{found.high:.3f}") if found else ("", "")


def charts(outcome: Outcome) -> list[Chart]:
    """The server alone, against the length of the prompt."""
    lengths = outcome.about["settings"]["lengths"]
    made = []
    for title, y, measure, scale in (
        ("Time to the first token", "median TTFT, s", SERVER_TTFT, 1000),
        ("Prefill", "tokens/s", RATE, 1),
    ):
        lines = []
        for state in STATES:
            medians = {n: median(values(outcome, SERVER, f"{row(n, state)}: {measure}")) for n in lengths}
            points = [(float(n), found / scale) for n, found in medians.items() if found is not None]
            if points:
                lines.append(Line(CACHED_OF[state], points))
        made.append(Chart(title, "tokens of the prompt", y, lines))
    return made
