"""What a person waits for the first words: beside others who ask for long contexts, and for openbook itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing

from evals.answers import Measured
from evals.corpus import COLLECTION
from evals.datasets.values import Case
from evals.prefill.server import Raw, Salted
from evals.progress import Done
from rag.answer import Piece, Rag
from rag.question import Question
from rag.types import Answer

SHORT, LONG = "short questions: wait s", "long questions: wait s"
ABOVE, INSIDE = "overhead: ms above the server", "overhead: ms in openbook"
AT_ONCE = 2  # long questions
SHORT_TOKENS = 250  # of documents
RETRIEVAL = ("embed", "search", "read")
_PAUSE_S = 0.1  # between short questions


async def mixed(
    rag: Rag, long: Sequence[Case], short: Sequence[Case], tokens: int, done: Done
) -> dict[str, Measured]:
    """Long questions, of ``tokens`` of documents, two at a time; short ones, one at a time, as long as they run."""
    found: dict[str, Measured] = {}
    waiting = list(long)

    async def long_ones() -> None:
        while waiting:
            case = waiting.pop()
            found[f"long/{case.id}"] = {LONG: (await wait(rag, case, tokens), 1.0)}
            done(1)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(long_ones()) for _ in range(AT_ONCE)]
        for case in short:
            await asyncio.sleep(_PAUSE_S)  # the first, too, comes when long ones are on their way
            if all(task.done() for task in running):
                break
            found[f"short/{case.id}"] = {SHORT: (await wait(rag, case, SHORT_TOKENS), 1.0)}
    return found


async def overhead(
    rag: Rag, salted: Salted, raw: Raw, cases: Sequence[Case], done: Done
) -> dict[str, Measured]:
    """Of questions whose prompts are cached whole: what openbook takes before the first piece beyond what its server
    takes for the same request, without retrieval (the question's vector, and what the index is asked); and of that,
    what passes before the request goes out."""
    found: dict[str, Measured] = {}
    for case in cases:
        await wait(rag, case)
        began = time.perf_counter()
        answer, first = await _asked(rag, case, None)
        if salted.sent and answer.receipt.usage:
            timing = await raw.ask(*salted.sent)
            found[f"overhead/{case.id}"] = dict(_overhead(answer, first - began, timing.ttft))
        done(1)
    return found


def _overhead(answer: Answer, waited: float, alone: float) -> Iterator[tuple[str, tuple[float, float]]]:
    seconds = answer.receipt.seconds
    ours = waited - sum(seconds.get(stage, 0.0) for stage in RETRIEVAL)
    yield ABOVE, (1000 * (ours - alone), 1.0)
    if "first_token" in seconds:
        yield INSIDE, (1000 * (ours - seconds["first_token"]), 1.0)


async def wait(rag: Rag, case: Case, tokens: int | None = None) -> float:
    """Seconds from the question to the first piece of its answer."""
    began = time.perf_counter()
    _, first = await _asked(rag, case, tokens)
    return first - began


async def _asked(rag: Rag, case: Case, tokens: int | None) -> tuple[Answer, float]:
    """The answer, and when its first piece came (or, where it has none, when it was there)."""
    first = None
    question = Question(case.question, COLLECTION, max_context_tokens=tokens, max_answer_tokens=1)
    async with aclosing(rag.stream(question)) as events:
        async for event in events:
            if isinstance(event, Piece):
                first = first or time.perf_counter()
            if isinstance(event, Answer):
                return event, first or time.perf_counter()
    raise AssertionError("a stream ends with an answer")
