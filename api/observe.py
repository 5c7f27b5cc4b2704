"""Questions as metrics, lines of the log and traces see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.metrics import Metrics
from api.record import CURRENT, Record
from api.tracing import Tracing
from rag.errors import RagError
from rag.stages import Stages
from rag.types import Answer


class Observed:
    """An observer of rag.answer.Rag."""

    def __init__(self, metrics: Metrics, tracing: Tracing | None) -> None:
        self._metrics, self._tracing = metrics, tracing

    @contextmanager
    def question(self, stages: Stages) -> Iterator[Callable[[Answer], None]]:
        record = CURRENT.get()
        answers: list[Answer] = []

        def answered(answer: Answer) -> None:
            answers.append(answer)
            first_s = first_token_s(stages) if answer.receipt.usage else None
            self._metrics.answer(answer, first_s)
            if record:
                _note(record, answer, first_s)

        try:
            yield answered
        except BaseException as error:
            if not answers:  # else it is the client that leaves with the last event
                self._metrics.unanswered(error)
                if record:
                    record.error = error.code if isinstance(error, RagError) else type(error).__name__
            raise
        finally:
            if self._tracing and record:
                self._tracing.answered(record, stages, answers[0] if answers else None)


def first_token_s(stages: Stages) -> float | None:
    """From the question to the first piece of its answer: a long prompt is read in several requests, of which the
    last one answers."""
    ends = [interval.ended for interval in stages.intervals if interval.name == "first_token"]
    return ends[-1] - stages.began if ends else None


def _note(record: Record, answer: Answer, first_s: float | None) -> None:
    receipt = answer.receipt
    record.noted |= {"answerable": answer.answerable, "context_tokens": receipt.context_tokens}
    if first_s is not None:
        record.noted["ttft"] = round(first_s, 4)
    if "wait" in receipt.seconds:
        record.noted["wait"] = receipt.seconds["wait"]
    if usage := receipt.usage:
        record.noted |= {"prompt_tokens": usage.prompt, "completion_tokens": usage.completion}
        if usage.cached is not None:
            record.noted["cached_tokens"] = usage.cached
