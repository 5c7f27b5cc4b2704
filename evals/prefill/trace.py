"""A workload put to a system, turn by turn, and what each turn took from the server's prefix cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evals.answers import Measured, read_measures
from evals.bootstrap import Score
from evals.prefill.asking import Asked, Asker
from evals.prefill.workloads import Turn, WorkloadName
from evals.progress import Done

CACHED, TTFT, EVIDENCE = "cached share", "TTFT s", "evidence"
ERROR, FORETOLD = "error of the predicted TTFT", "cached tokens foretold"
ANSWER_TOKENS = {"conversation": 32}  # which the next turn reads; others are asked for the first token alone


async def trace(name: WorkloadName, turns: Sequence[Turn], asker: Asker, done: Done) -> dict[str, Measured]:
    """By turn. All turns are predicted; the rest is measured of those that count."""
    found: dict[str, Measured] = {}
    for number, turn in enumerate(turns):
        tokens = ANSWER_TOKENS.get(name, 1)
        asked = await asker.ask(turn.case.question, tokens, turn.conversation)
        measured = dict(predictions(asked))
        if turn.counted:
            measured |= dict(costs(asked)) | evidence(turn, asked)
        found[f"{name}/{number}"] = {f"{name}: {measure}": score for measure, score in measured.items()}
        done(1)
    return found


def costs(asked: Asked) -> Iterator[tuple[str, Score]]:
    if asked.usage is None:  # nothing was found to read
        return
    if asked.usage.cached is not None:
        yield CACHED, (float(asked.usage.cached), float(asked.usage.prompt))
    yield TTFT, (asked.ttft, 1.0)


def evidence(turn: Turn, asked: Asked) -> Measured:
    """Whether all of it stood in the context: its words, else some of its pages, else its documents."""
    if not turn.case.evidence:
        return {}
    read = read_measures(turn.case.evidence, asked.reading)
    return {EVIDENCE: next(read[name] for name in ("evidence", "pages", "documents") if name in read)}


def predictions(asked: Asked) -> Iterator[tuple[str, Score]]:
    if asked.usage is None:
        return
    if asked.predicted_s is not None:
        yield ERROR, (abs(asked.predicted_s - asked.ttft) / asked.ttft, 1.0)
    if asked.predicted_cached is not None and asked.usage.cached is not None:
        yield FORETOLD, (float(asked.predicted_cached == asked.usage.cached), 1.0)
