"""What the service tells of itself: metrics, log lines, request ids, traces; and what it never tells."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse
from prometheus_client.parser import text_string_to_metric_families

from api.lag import WINDOW_S, Lag
from api.logs import OURS, JsonLines, Lines, configure_logging
from api.record import id_of
from api.tracing import Tracing, tracing
from conftest import ROOT
from fake_engine import TOKEN, engine_over
from fakes import CachingGenerator, FakeEmbedder, FakeGenerator, document, passages
from ingest.workers import InProcess
from rag.compose import Engine
from rag.correlation import Correlation, correlated
from rag.errors import ModelUnavailable
from rag.store.edge import EdgeStore
from rest import OWNER
from service_in_process import serving

QUESTION = "How long does the secret battery last?"
REPLY = "The battery lasts 30 days [1]."


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    embedder = FakeEmbedder()
    made = EdgeStore(tmp_path / "c", embedder=embedder.name, dimension=embedder.dimension)
    tiles = passages(document(), "The battery lasts 30 days.\n")
    doc = document(passages=1, tokens=tiles[0].tokens)
    made.open("default", create=True).put(doc, tiles, embedder.embed([tile.text for tile in tiles]))
    return made


@pytest.fixture
def generator() -> FakeGenerator:
    return CachingGenerator(REPLY)


@pytest.fixture
def engine(store: EdgeStore, tmp_path: Path, generator: FakeGenerator) -> Engine:
    return engine_over(store, tmp_path, generator)


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


async def scraped(client: httpx.AsyncClient) -> dict[tuple[str, ...], float]:
    """Values by name and the values of labels, which are in the order of their names."""
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


# --- metrics ----------------------------------------------------------------------------------------------------


async def test_answers_are_counted(client: httpx.AsyncClient) -> None:
    for stream in (False, True):
        await client.post("/v1/answer", json={"question": QUESTION, "stream": stream})
    values = await scraped(client)
    assert values["openbook_questions_total", "answered"] == 2
    assert values["openbook_http_requests_total", "POST", "/v1/answer", "200"] == 2
    assert values["openbook_http_request_duration_seconds_count", "POST", "/v1/answer"] == 2
    for name in ("time_to_first_token", "answer_duration", "queue_wait"):
        assert values[f"openbook_{name}_seconds_count",] == 2
    for stage in ("embed", "search", "read", "pack", "first_token", "generate", "cite"):
        assert values["openbook_answer_stage_duration_seconds_count", stage] == 2
    assert values["openbook_prompt_tokens_total", "cache"] > 0
    assert values["openbook_prompt_tokens_total", "computed"] > 0
    assert values["openbook_completion_tokens_total",] > 0
    assert values["openbook_context_tokens_total",] > 0
    assert values["openbook_queue_waiting", "answer"] == values["openbook_queue_running", "answer"] == 0
    assert values["process_resident_memory_bytes",] > 2**20
    assert values["openbook_event_loop_lag_seconds_count",] >= 0


async def test_files_are_counted_whether_they_come_as_a_job_or_as_a_stream(
    client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.pipeline.Workers", lambda **_: InProcess())
    (tmp_path / "texts").mkdir()
    for name in ("a.md", "b.md"):
        (tmp_path / "texts" / name).write_text(f"The text of {name}.\n")
    asked = {"paths": [str(tmp_path / "texts")], "collection": "counted"}
    counts = []

    async def counted() -> None:
        values = await scraped(client)
        counts.append(
            [values.get(("openbook_ingested_files_total", each), 0) for each in ("added", "unchanged")]
        )

    async def as_a_job(body: dict[str, Any]) -> None:
        id_ = (await client.post("/v1/jobs", json=body, headers=OWNER)).json()["job"]["id"]
        assert "event: job" in (await client.get(f"/v1/jobs/{id_}/events", headers=OWNER)).text

    for dry in (True, False):
        text = (await client.post("/v1/ingest", json=asked | {"dry": dry}, headers=OWNER)).text
        assert text.count("event: file") == 2
        await counted()
    for dry in (True, False):
        await as_a_job(asked | {"dry": dry})
        await counted()
    assert counts == [[0, 0], [2, 0], [2, 0], [2, 2]]


async def test_errors_are_counted_by_code_and_questions_by_outcome(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    await client.get("/v1/documents", params={"collection": "nope"})
    await client.post("/v1/answer", json={})
    generator.error = ModelUnavailable("It is away.")
    await client.post("/v1/answer", json={"question": QUESTION})
    values = await scraped(client)
    for code in ("CollectionNotFound", "BadRequest", "ModelUnavailable"):
        assert values["openbook_errors_total", code] == 1
    assert values["openbook_questions_total", "failed"] == 1


async def test_an_error_within_a_stream_is_counted(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    class Dying(CachingGenerator):
        async def stream(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            async for delta in super().stream(*arguments, **options):  # type: ignore[arg-type]
                yield delta
                raise ModelUnavailable("It has died.")

    generator.__class__ = Dying
    response = await client.post("/v1/answer", json={"question": QUESTION, "stream": True})
    assert '"ModelUnavailable"' in response.text
    values = await scraped(client)
    assert values["openbook_errors_total", "ModelUnavailable"] == 1
    assert values["openbook_http_requests_total", "POST", "/v1/answer", "200"] == 1


async def test_paths_that_do_not_exist_are_one_route(client: httpx.AsyncClient) -> None:
    for at in range(5):
        await client.get(f"/nothing/{at}")
        await client.request(f"ODD{at}", "/nothing")
        await client.get(f"/v1/conversations/{at}")
    values = await scraped(client)
    assert values["openbook_http_requests_total", "GET", "other", "404"] == 5
    assert values["openbook_http_requests_total", "other", "other", "404"] == 5
    assert values["openbook_http_requests_total", "GET", "/v1/conversations/{id_}", "404"] == 5


async def test_sizes_are_asked_for_in_the_background(client: httpx.AsyncClient) -> None:
    for _ in range(200):
        await asyncio.sleep(0.01)
        values = await scraped(client)
        if ("openbook_collection_documents", "default") in values:
            break
    assert values["openbook_collection_documents", "default"] == 1
    assert values["openbook_collection_passages", "default"] == 1
    assert values["openbook_jobs", "queued"] == 0


def test_the_longest_lag_is_forgotten_after_two_windows() -> None:
    now = [0.0]
    seen: list[float] = []
    lag = Lag(seen.append, lambda: now[0])
    lag.note(0.5)
    lag.note(0.1)
    assert lag.longest_s == 0.5
    for expected in (0.5, 0.01):
        now[0] += WINDOW_S
        lag.note(0.01)
        assert lag.longest_s == expected
    assert seen == [0.5, 0.1, 0.01, 0.01]


async def test_every_query_of_the_dashboard_names_a_metric_that_there_is(client: httpx.AsyncClient) -> None:
    await client.post("/v1/answer", json={"question": QUESTION})
    await client.get("/v1/documents", params={"collection": "nope"})
    await scraped(client)
    await asyncio.sleep(0.05)
    families = list(text_string_to_metric_families((await client.get("/metrics")).text))
    known = {sample.name for family in families for sample in family.samples}
    known |= {f"{family.name}_total" for family in families if family.type == "counter"}
    known |= {family.name + end for family in families if family.type == "histogram" for end in HISTOGRAM}
    known |= {family.name for family in families}
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "openbook.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(queries) > 15
    for query in queries:
        names = set(re.findall(r"\b(?:openbook|process)_\w+", query))
        assert names, query
        assert names <= known, query


HISTOGRAM = ("_bucket", "_count", "_sum")

# --- log lines and request ids ----------------------------------------------------------------------------------


async def test_a_line_says_how_it_went_and_not_what_was_asked(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    id_ = (await client.post("/v1/conversations", json={})).json()["id"]
    body = {"question": QUESTION, "stream": True, "conversation": id_}
    await client.post(
        "/v1/answer", json=body, headers={"x-request-id": "abc-1", "authorization": f"Bearer {TOKEN}"}
    )
    await client.get(f"/v1/conversations/{id_}")
    lines = [json.loads(r.getMessage()) for r in caplog.records if r.name == "openbook.access"]
    (answered,) = [line for line in lines if line["route"] == "/v1/answer"]
    assert answered["request"] == "abc-1"
    assert answered["key"] == "owner"
    assert answered["answerable"] is True
    assert 0 < answered["ttft"] <= answered["seconds"] + 0.001
    assert answered["prompt_tokens"] > answered["cached_tokens"] >= 0
    assert answered["completion_tokens"] > 0
    told = "\n".join(r.getMessage() for r in caplog.records if r.name.split(".")[0] in OURS)
    for hidden in ("secret battery", "30 days", TOKEN, id_):
        assert hidden not in told


@pytest.mark.parametrize("sent", ["a" * 128, "3f2-1.A:b/c+d=", "00-4bf92f3577b34da6-00f067aa0ba902b7-01"])
async def test_a_sane_request_id_is_taken_over(client: httpx.AsyncClient, sent: str) -> None:
    response = await client.get("/healthz", headers={"x-request-id": sent})
    assert response.headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 129, "a b", "a\x1b[31m", "{}", "é", None])
def test_others_are_replaced(sent: str | None) -> None:
    assert re.fullmatch("[0-9a-f]{12}", id_of(sent))


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level, levels = (
        list(root.handlers),
        root.level,
        {name: logging.getLogger(name).level for name in OURS},
    )
    root.handlers[:] = []
    yield
    root.handlers[:], root.level = before, level
    for name in OURS:
        logging.getLogger(name).setLevel(levels[name])


@pytest.mark.usefixtures("_logging_as_before")
def test_what_libraries_say_for_debugging_is_never_logged() -> None:
    configure_logging(logging.DEBUG)
    assert logging.getLogger("rag.serving").isEnabledFor(logging.DEBUG)
    for name in ("sse_starlette.sse", "httpcore", "mcp"):  # which log whole bodies
        assert not logging.getLogger(name).isEnabledFor(logging.DEBUG)
    configure_logging(logging.ERROR)
    assert not logging.getLogger("uvicorn").isEnabledFor(logging.INFO)


def test_lines_carry_the_request_that_they_are_written_for() -> None:
    line = logging.LogRecord("a.b", logging.WARNING, "", 0, "pages: %d", (3,), None)
    access = logging.LogRecord("openbook.access", logging.INFO, "", 0, "{}", (), None)
    access.fields = {"status": 200}
    with correlated(Correlation("r1")):
        assert Lines().format(line).endswith("WARNING a.b pages: 3 [r1]")
        made = json.loads(JsonLines().format(line))
        assert (made["level"], made["logger"], made["message"], made["request"]) == (
            "warning", "a.b", "pages: 3", "r1",
        )  # fmt: skip
        assert json.loads(JsonLines().format(access))["status"] == 200
    assert Lines().format(line).endswith("pages: 3")


# --- traces -----------------------------------------------------------------------------------------------------


async def test_a_request_is_a_trace_that_goes_on_where_it_came_from(engine: Engine) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with serving(engine, tracing=Tracing(provider)) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"traceparent": f"00-{trace}-{parent}-01"}
            body = {"question": QUESTION, "stream": True}
            async with aconnect_sse(client, "POST", "/v1/answer", json=body, headers=headers) as source:
                async for _ in source.aiter_sse():
                    pass
    spans = {span.name: span for span in exporter.get_finished_spans()}
    request, answer = spans["POST /v1/answer"], spans["answer"]
    assert {f"{span.context.trace_id:032x}" for span in spans.values() if span.context} == {trace}
    assert request.parent
    assert f"{request.parent.span_id:016x}" == parent
    for name in ("embed", "search", "read", "pack", "prefill", "generate", "cite"):
        child = spans[name]
        assert child.parent
        assert answer.context
        assert child.parent.span_id == answer.context.span_id
        assert child.start_time
        assert child.end_time
        assert answer.start_time
        assert answer.end_time
        assert answer.start_time - 10**6 <= child.start_time <= child.end_time <= answer.end_time + 10**6
    assert request.attributes
    assert request.attributes["http.response.status_code"] == 200
    told = " ".join(str(span.attributes) for span in spans.values())
    assert "battery" not in told


def test_without_an_endpoint_there_is_no_tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert tracing() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert tracing() is None
