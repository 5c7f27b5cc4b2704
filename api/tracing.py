"""Traces by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says whereto. Elsewhere nothing of it is even imported.

A request is a span, and beneath it a question, whose stages are its children. Their times are known when they have
ended, so they are made then. https://opentelemetry.io/docs/specs/semconv/ names the attributes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from api.record import OTHER, Record
from rag.stages import Stages
from rag.types import Answer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SPANS = {"first_token": "prefill", "wait": "queue"}  # of stages that are called otherwise in receipts


def tracing() -> Tracing | None:
    """As the standard variables of the environment say; None where they name no place to send traces to."""
    if not any(map(os.environ.get, ENDPOINTS)) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "openbook")
    resource = Resource.create({"service.name": name, "service.version": version("openbook")})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


class Tracing:
    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace, self._propagator = trace, TraceContextTextMapPropagator()
        self._provider, self._tracer = provider, provider.get_tracer("openbook")

    def begin(self, record: Record, headers: Mapping[str, str]) -> dict[str, str]:
        """A request, as part of the trace that its ``headers`` name; what those who are asked for it are sent."""
        context = self._propagator.extract(headers)
        record.span = self._tracer.start_span(
            record.method,
            context,
            kind=self._trace.SpanKind.SERVER,
            attributes={"openbook.request": record.id},
        )
        given_on: dict[str, str] = {}
        self._propagator.inject(given_on, self._trace.set_span_in_context(record.span))
        return given_on

    def end(self, record: Record) -> None:
        span = record.span
        if record.route != OTHER:
            span.update_name(f"{record.method} {record.route}")
            span.set_attribute("http.route", record.route)
        span.set_attribute("http.request.method", record.method)
        span.set_attribute("http.response.status_code", record.status)
        if record.error:
            span.set_attribute("error.type", record.error)
        if record.status >= 500 or (record.error and record.status == 200):
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def answered(self, record: Record, stages: Stages, answer: Answer | None) -> None:
        """A question has been answered, or not to its end."""
        epoch = time.time_ns() - time.perf_counter_ns()

        def at(seconds: float) -> int:
            return epoch + int(seconds * 1e9)

        request = self._trace.set_span_in_context(record.span)
        question = self._tracer.start_span("answer", request, start_time=at(stages.began))
        within = self._trace.set_span_in_context(question)
        for stage in stages.intervals:
            name = SPANS.get(stage.name, stage.name)
            self._tracer.start_span(name, within, start_time=at(stage.began)).end(at(stage.ended))
        question.set_attributes(_attributes(answer) if answer else {"error.type": record.error})
        question.end()

    def close(self) -> None:
        """Sends what has not been sent; may take seconds."""
        self._provider.shutdown()


def _attributes(answer: Answer) -> dict[str, str | int | bool]:
    receipt, usage = answer.receipt, answer.receipt.usage
    attributes: dict[str, str | int | bool] = {
        "gen_ai.request.model": receipt.model,
        "openbook.answerable": answer.answerable,
        "openbook.context_tokens": receipt.context_tokens,
    }
    if usage:
        attributes |= {
            "gen_ai.usage.input_tokens": usage.prompt,
            "gen_ai.usage.output_tokens": usage.completion,
        }
        if usage.cached is not None:
            attributes["openbook.cached_tokens"] = usage.cached
    return attributes
