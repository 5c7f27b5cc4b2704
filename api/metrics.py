"""What the service tells Prometheus of itself; docs/observe.md lists it.

https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from api.record import Record
from ingest.report import FileResult
from rag.errors import Overloaded
from rag.types import Answer

# Seconds. A cached answer begins within a tenth, a cold prompt of 128k tokens takes most of a minute.
STAGES_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
LAGS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """In a registry of its own, so that several services can live in one process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("openbook_build_info", "The version that runs.", ["version"], registry=registry)
        build.labels(version("openbook")).set(1)
        self._requests()
        self._answers()
        self._tokens()
        self._files = Counter(
            "openbook_ingested_files", "Files of ingest runs, by what happened to them.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.lag = Histogram(
            "openbook_event_loop_lag_seconds", "How late the event loop woke up a task that slept.",
            buckets=LAGS_S, registry=registry,
        )  # fmt: skip

    def _requests(self) -> None:
        registry = self.registry
        self._served = Counter(
            "openbook_http_requests", "Requests, by route template.", ["route", "method", "status"],
            registry=registry,
        )  # fmt: skip
        self._durations = Histogram(
            "openbook_http_request_duration_seconds", "From a request to the last byte of its reply.",
            ["route", "method"], buckets=STAGES_S, registry=registry,
        )  # fmt: skip
        self.in_progress = Gauge(
            "openbook_http_requests_in_progress", "Requests that are being served.", registry=registry
        )
        self._errors = Counter(
            "openbook_errors", "Requests that failed, by the code in their problem or error event.", ["code"],
            registry=registry,
        )  # fmt: skip

    def _answers(self) -> None:
        registry = self.registry
        self._outcomes = Counter(
            "openbook_questions", "Questions by outcome: answered, not_found, refused, failed, left.",
            ["outcome"], registry=registry,
        )  # fmt: skip
        self._total = Histogram(
            "openbook_answer_duration_seconds", "From a question to its whole answer.",
            buckets=STAGES_S, registry=registry,
        )  # fmt: skip
        self._stages = Histogram(
            "openbook_answer_stage_duration_seconds", "Stages of answers, as in their receipts.", ["stage"],
            buckets=STAGES_S, registry=registry,
        )  # fmt: skip
        self._first = Histogram(
            "openbook_time_to_first_token_seconds", "From a question to the first piece of its answer.",
            buckets=STAGES_S, registry=registry,
        )  # fmt: skip
        self._waits = Histogram(
            "openbook_queue_wait_seconds", "How long answered questions waited for the model server.",
            buckets=STAGES_S, registry=registry,
        )  # fmt: skip

    def _tokens(self) -> None:
        registry = self.registry
        self._read = Counter(
            "openbook_context_tokens", "Tokens of documents that were read for answers.", registry=registry
        )
        self._prompt = Counter(
            "openbook_prompt_tokens",
            "Tokens of prompts, by where the model server took them from: cache, computed, unknown.",
            ["source"], registry=registry,
        )  # fmt: skip
        self._completion = Counter(
            "openbook_completion_tokens", "Tokens of answers, as the model server counts.", registry=registry
        )

    def request(self, record: Record, seconds: float) -> None:
        self._served.labels(record.route, record.method, str(record.status)).inc()
        self._durations.labels(record.route, record.method).observe(seconds)
        if record.error:
            self._errors.labels(record.error).inc()

    def answer(self, answer: Answer, first_s: float | None) -> None:
        receipt = answer.receipt
        self._outcomes.labels("answered" if answer.answerable else "not_found").inc()
        for stage, seconds in receipt.seconds.items():
            if stage != "total":
                self._stages.labels(stage).observe(seconds)
        self._total.observe(receipt.seconds["total"])
        self._waits.observe(receipt.seconds.get("wait", 0.0))
        if first_s is not None:
            self._first.observe(first_s)
        self._read.inc(receipt.context_tokens)
        if usage := receipt.usage:
            self._completion.inc(usage.completion)
            if usage.cached is None:
                self._prompt.labels("unknown").inc(usage.prompt)
            else:
                self._prompt.labels("cache").inc(usage.cached)
                self._prompt.labels("computed").inc(usage.prompt - usage.cached)

    def unanswered(self, error: BaseException) -> None:
        """Left: its client has gone, or it was cancelled."""
        refused = "refused" if isinstance(error, Overloaded) else "failed"
        self._outcomes.labels(refused if isinstance(error, Exception) else "left").inc()

    def file(self, result: FileResult) -> None:
        self._files.labels(result.status).inc()
