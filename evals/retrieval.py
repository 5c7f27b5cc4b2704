"""How well documents are ranked for queries: BEIR's measures for each system, query by query."""

from __future__ import annotations

from collections.abc import Sequence

from evals.bootstrap import Score
from evals.datasets.values import Rankings
from evals.progress import Begin
from evals.ranking import RECALLS, measures
from evals.report import Scores
from evals.systems import Ranker


async def evaluate(data: Rankings, systems: Sequence[Ranker], begin: Begin) -> Scores:
    found: Scores = {}
    for system in systems:
        done = begin(f"{system.name}: queries", len(data.queries))
        of_it = found.setdefault(system.name, {})
        for id_, query in data.queries.items():
            ranked = await system.rank(query, max(RECALLS))
            of_it[id_] = {name: _mean(value) for name, value in measures(ranked, data.relevant[id_]).items()}
            done(1)
    return found


def _mean(value: float) -> Score:
    return value, 1.0
