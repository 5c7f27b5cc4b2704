"""Whether answers begin in the time that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.answers import Measured
from evals.bootstrap import Score
from evals.corpus import COLLECTION
from evals.datasets.values import Case
from evals.progress import Done
from rag.answer import Rag
from rag.prefill import LATE
from rag.question import Question
from rag.types import Receipt

SHARES = (25, 50, 75)  # percent of the time that is predicted for the whole budget where nothing is cached
IN_TIME, BY_TARGET, READ = f"within {LATE} x target", "TTFT by target", "tokens read"


async def cold_s(rag: Rag, budget: int) -> float | None:
    """None where the model server's speed is not known."""
    cost = rag.serving.known(await rag.generator.model()).cost
    return cost.seconds(budget) if cost else None


async def on_target(
    rag: Rag, cases: Sequence[Case], share: int, cold: float, done: Done
) -> dict[str, Measured]:
    """Questions one after the other, each to begin after ``share`` percent of ``cold`` seconds."""
    found: dict[str, Measured] = {}
    ms = max(1, round(10 * share * cold))
    for number, case in enumerate(cases):
        question = Question(case.question, COLLECTION, max_answer_tokens=1, target_ttft_ms=ms)
        receipt = (await rag.answer(question)).receipt
        measured = {f"{row(share)}: {name}": score for name, score in _measured(receipt, ms / 1000)}
        found[f"{row(share)}/{number}"] = measured
        done(1)
    return found


def row(share: int) -> str:
    return f"target {share} %"


def _measured(receipt: Receipt, target_s: float) -> Iterator[tuple[str, Score]]:
    if "first_token" in receipt.seconds:
        by_target = receipt.seconds["first_token"] / target_s
        yield IN_TIME, (float(by_target <= LATE), 1.0)
        yield BY_TARGET, (by_target, 1.0)
        yield READ, (float(receipt.context_tokens), 1.0)
