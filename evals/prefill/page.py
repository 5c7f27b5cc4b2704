"""A run as a page of its own: tables and plots in one file that needs no other, or the tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evals.prefill import chart
from evals.prefill.chart import Chart
from evals.prefill.tables import Grid
from evals.report import Outcome


def html(outcome: Outcome, title: str, grids: Sequence[Grid], charts: Sequence[Chart]) -> str:
    # A tenth of a second to import: only who writes a page pays for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("evals.prefill", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    frame = {name: getattr(chart, name) for name in ("WIDTH", "HEIGHT", "LEFT", "RIGHT", "TOP", "BOTTOM")}
    return environment.get_template("page.html.j2").render(
        title=title, grids=grids, charts=charts, facts=facts(outcome), notes=outcome.notes, **frame
    )


def markdown(outcome: Outcome, title: str, grids: Sequence[Grid]) -> str:
    told = [f"- {name}: {value}" for name, value in facts(outcome)]
    parts = [
        f"# {title}",
        *(grid.markdown() for grid in grids),
        *outcome.notes,
        "## Measured with",
        "\n".join(told),
    ]
    return "\n\n".join(parts) + "\n"


def facts(outcome: Outcome) -> list[tuple[str, str]]:
    return [(name, _told(value)) for name, value in outcome.about.items()] + [("seed", str(outcome.seed))]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {_told(each)}" for name, each in value.items())
    return ", ".join(map(_told, value)) if isinstance(value, list) else str(value)
