"""The REST interface over an engine of fakes, without sockets: statuses, bodies, streams, and what OpenAPI says."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx_sse import ServerSentEvent, aconnect_sse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.app import create_app
from api.problems import STATUS, problem_of
from fake_engine import REPLY, TOKEN, engine_over, fake_store, ingested
from fakes import Costly, FakeGenerator, change
from ingest.reindex import aside
from openapi_check import mismatches
from rag import admission
from rag import errors as e
from rag.compose import Engine
from rag.ports import Delta
from rag.ports import Message as Prompt
from rag.question import GREEDY, Sampling
from rag.remote import Remote
from rag.store.edge import EdgeStore
from rest import OWNER, problem

pytestmark = pytest.mark.process  # of which they start none; but a store for each takes seconds

TEXT = "# Gauge\n\nThe battery of the gauge lasts 400 days — even in winter.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service").resolve()


@pytest.fixture(scope="module")
def gauge(folder: Path) -> Path:
    path = folder / "gauge.md"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module")
def store(folder: Path, gauge: Path) -> Iterator[EdgeStore]:
    """One for all tests, since making a collection takes longer than most of them; ``default`` is only read."""
    store = fake_store(folder)
    ingested(engine_over(store, folder), gauge)
    yield store
    store.close()


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator(REPLY)


@pytest.fixture
def engine(store: EdgeStore, folder: Path, generator: FakeGenerator) -> Engine:
    return engine_over(store, folder, generator)


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[ASGIApp]:
    async with started(engine) as app:
        yield app


@pytest.fixture
async def client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


opened: list[Engine] = []


@cache
def built(host: str) -> FastAPI:
    """Once for all tests: its state begins and ends with each lifespan."""
    return create_app(lambda: nullcontext(opened[0]), host=host)


@asynccontextmanager
async def started(engine: Engine, host: str = "127.0.0.1") -> AsyncIterator[ASGIApp]:
    """The application within its lifespan, whose state every request gets, as a server would see to."""

    app = built(host)
    opened[:] = [engine]

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": dict(state)}, receive, send)

    async with app.router.lifespan_context(app) as yielded:
        state = {**(yielded or {})}
        yield with_state


async def events(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], **more: Any
) -> list[ServerSentEvent]:
    async with aconnect_sse(client, "POST", path, json=body, **more) as source:
        assert source.response.status_code == 200
        return [event async for event in source.aiter_sse()]


# --- answers -----------------------------------------------------------------------------------------------


async def test_an_answer_is_cited_and_its_quote_is_in_the_document(
    client: httpx.AsyncClient, gauge: Path
) -> None:
    response = await client.post("/v1/answer", json={"question": "How long does the battery last?"})
    assert response.status_code == 200
    body = response.json()
    assert body["text"] == REPLY
    assert body["answerable"] is True
    (citation,) = body["citations"]
    assert citation["source"] == gauge.as_uri()
    assert citation["quote"] in TEXT
    assert body["receipt"]["usage"]["cached"] is None
    assert body["receipt"]["collection"] == "default"


async def test_a_streamed_answer_has_its_events_in_order_and_the_same_answer(
    client: httpx.AsyncClient,
) -> None:
    asked = {"question": "How long does the battery last?"}
    whole = (await client.post("/v1/answer", json=asked)).json()
    stream = await events(client, "/v1/answer", asked | {"stream": True})
    assert [event.event for event in stream] == ["reading", *["piece"] * 9, "answer"]
    assert "".join(json.loads(event.data)["text"] for event in stream[1:-1]) == REPLY
    streamed = json.loads(stream[-1].data)
    for answer in (whole, streamed):
        answer["receipt"].pop("seconds")
    assert streamed == whole
    assert json.loads(stream[0].data)["receipt"]["read"] == whole["receipt"]["read"]


@pytest.mark.parametrize(
    "text", ["Grüße an 東京 🌊 .", "line\u2028separator \x85 and \x0c form feed", "a\r\nb\rc"]
)
async def test_a_stream_keeps_every_character(
    client: httpx.AsyncClient, generator: FakeGenerator, text: str
) -> None:
    generator.reply = text
    stream = await events(client, "/v1/answer", {"question": "battery?", "stream": True})
    assert "".join(json.loads(event.data)["text"] for event in stream[1:-1]) == text
    raw = await client.post("/v1/answer", json={"question": "battery?", "stream": True})
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.content.decode("utf-8")


async def test_nothing_found_is_an_answer_that_says_so(engine: Engine, client: httpx.AsyncClient) -> None:
    engine.rag.store.open("empty", create=True)
    asked = {"question": "anything", "collection": "empty"}
    body = (await client.post("/v1/answer", json=asked)).json()
    assert body["answerable"] is False
    assert "Nothing in collection 'empty'" in body["reason"]
    stream = await events(client, "/v1/answer", asked | {"stream": True})
    assert [event.event for event in stream] == ["reading", "answer"]
    assert body["searched"]["collections"] == ["empty"]
    assert (body["searched"]["found"], body["searched"]["nearest"]) == (0, [])


async def test_a_filter_says_what_is_read_and_what_was_searched(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    asked = {
        "question": "battery?",
        "filter": {"paths": ["*.md"], "since": "2020-01-01"},
        "policy": "sections",
    }
    assert (await client.post("/v1/answer", json=asked)).json()["answerable"]
    sent = len(generator.sent)
    only = {"types": ["pdf"], "fields": {"author": "Ada"}}
    body = (await client.post("/v1/answer", json={"question": "battery?", "filter": only})).json()
    assert body["answerable"] is False
    assert body["searched"]["among"] == {
        "paths": [], "types": ["pdf"], "since": "", "until": "", "headings": [], "fields": {"author": "Ada"}
    }  # fmt: skip
    assert (body["searched"]["documents"], len(generator.sent)) == (0, sent)
    found = await client.post("/v1/search", json={"query": "battery", "filter": {"headings": ["gau*"]}})
    assert found.json()["hits"]
    found = await client.post("/v1/search", json={"query": "battery", "filter": {"headings": ["none"]}})
    assert found.json()["hits"] == []


async def test_a_filter_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    for path, asked in (("/v1/answer", {"question": "x"}), ("/v1/search", {"query": "x"})):
        refused = await client.post(path, json=asked | {"filter": {"since": "yesterday"}})
        assert "'yesterday' is not a day" in problem(refused, 400, "BadRequest")["detail"]
        refused = await client.post(path, json=asked | {"filter": {"path": "*.md"}})
        problem(refused, 422, "BadRequest")
        problem(await client.post(path, json=asked | {"collection": []}), 400, "BadRequest")
        half = json.dumps(asked | {"filter": {"fields": {"a": "\ud800"}}})
        refused = await client.post(path, content=half, headers={"content-type": "application/json"})
        problem(refused, 400, "BadRequest")
    problem(await client.post("/v1/answer", json={"question": "x", "policy": "all"}), 422, "BadRequest")


async def test_several_collections_are_one_request(
    engine: Engine, client: httpx.AsyncClient, gauge: Path
) -> None:
    ingested(engine, gauge, collection="second")
    try:
        asked = {"query": "battery", "collection": ["default", "second"]}
        found = (await client.post("/v1/search", json=asked)).json()
        assert found["collection"] == ["default", "second"]
        assert {hit["document"]["collection"] for hit in found["hits"]} == {"default", "second"}
    finally:
        engine.rag.store.drop("second")


# --- errors ------------------------------------------------------------------------------------------------


async def test_an_unknown_collection_names_the_known_ones(client: httpx.AsyncClient) -> None:
    for body in (
        {"question": "x", "collection": "nope"},
        {"question": "x", "collection": "nope", "stream": True},
    ):
        told = problem(await client.post("/v1/answer", json=body), 404, "CollectionNotFound")
        assert "There are: default" in told["detail"]
        assert "openbook ingest" in told["hint"]
    found = await client.post("/v1/search", json={"query": "x", "collection": "nope"})
    problem(found, 404, "CollectionNotFound")
    problem(await client.get("/v1/documents?collection=nope"), 404, "CollectionNotFound")
    problem(await client.get("/v1/documents?collection=../../etc"), 400, "BadName")


@pytest.mark.parametrize("stream", [False, True])
async def test_questions_that_are_none(client: httpx.AsyncClient, stream: bool) -> None:
    long = await client.post("/v1/answer", json={"question": "x" * 100_000, "stream": stream})
    told = problem(long, 413, "QuestionTooLong")
    assert "100,000 characters" in told["detail"]
    assert len(long.content) < 1000
    for empty in ("", " \n\t"):
        response = await client.post("/v1/answer", json={"question": empty, "stream": stream})
        problem(response, 400, "BadRequest")
    problem(await client.post("/v1/search", json={"query": "x" * 100_000}), 413, "QuestionTooLong")


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_would_fill_the_memory_is_not_read(
    client: httpx.AsyncClient, declared: bool
) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield b"x" * 100_000

    content: Any = b"x" * 10_000_000 if declared else endless()
    told = problem(await client.post("/v1/answer", content=content), 413, "BadRequest", hinted=False)
    assert "over 1,048,576 bytes" in told["detail"]
    assert taken < 100


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"{}", "question: Field required"),
    (b"", "the body: Field required"),
    (b"[1, 2]", "the body: "),
    (b'{"question": "secret words', "The body is not JSON: "),
    (b'{"question": 7}', "question: Input should be a valid string"),
    (b'{"question": "x", "surprise": "secret words"}', "surprise: Extra inputs are not permitted"),
    (b'{"question": "x", "max_context_tokens": 0}', "max_context_tokens: "),
    (b'{"question": "x", "max_context_tokens": "secret words"}', "max_context_tokens: "),
    (b'{"question": "x", "temperature": NaN}', "temperature: "),
    (b'{"question": "\\ud800"}', "question: "),
    (b'{"question": "x", "\\ud800": 1}', "the body: Input should be a valid string"),
    (b'{"question": "x", "' + b"k" * 10_000 + b'": 1}', "k: Extra inputs"),
    (b'\xff\xfe{"question": "x"}', ""),
]


async def test_an_invalid_body_is_explained_and_not_echoed(client: httpx.AsyncClient) -> None:
    for body, expected in BAD_BODIES:
        response = await client.post("/v1/answer", content=body, headers={"content-type": "application/json"})
        told = problem(response, 422 if expected else 400, "BadRequest", hinted=False)
        assert expected in told["detail"]
        assert "secret words" not in response.text
        assert len(response.content) < 1500


async def test_a_web_page_cannot_post_without_saying_json(client: httpx.AsyncClient) -> None:
    """What a browser sends to another origin without asking first is plain text or a form."""
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        body = json.dumps({"question": "x"})
        response = await client.post("/v1/answer", content=body, headers={"content-type": kind})
        problem(response, 422, "BadRequest")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_is_down_is_503_and_the_rest_works(
    client: httpx.AsyncClient, generator: FakeGenerator, stream: bool
) -> None:
    generator.error = e.ModelUnavailable("The model server is away.", "Start it.")
    response = await client.post("/v1/answer", json={"question": "battery?", "stream": stream})
    told = problem(response, 503, "ModelUnavailable")
    assert told["hint"] == "Start it."
    assert told["retryable"] is True
    assert int(response.headers["retry-after"]) > 0
    assert (await client.post("/v1/search", json={"query": "battery"})).status_code == 200
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert ready.json()["checks"]["model"]["detail"].startswith("The model server is away.")
    assert ready.json()["checks"]["store"]["ok"] is True
    status = await client.get("/v1/status")
    assert status.status_code == 200
    assert "away" in status.json()["model"]


class Breaking(FakeGenerator):
    """Fails in the middle of its reply."""

    def __init__(self, failure: Exception) -> None:
        super().__init__()
        self.failure = failure

    async def stream(
        self,
        messages: Sequence[Prompt],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        yield Delta("The battery ")
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "code", "status"),
    [
        (e.ModelUnavailable("It died.", "Ask again."), "ModelUnavailable", 503),
        (RuntimeError("secret"), "RagError", 500),
    ],
)
async def test_an_error_in_the_middle_of_a_stream_is_its_last_event(
    engine: Engine, client: httpx.AsyncClient, failure: Exception, code: str, status: int
) -> None:
    change(engine.rag, generator=Breaking(failure))
    stream = await events(client, "/v1/answer", {"question": "battery?", "stream": True})
    assert [event.event for event in stream] == ["reading", "piece", "error"]
    told = json.loads(stream[-1].data)
    assert (told["code"], told["status"]) == (code, status)
    assert told["hint"]
    assert "secret" not in stream[-1].data
    problem(await client.post("/v1/answer", json={"question": "battery?"}), status, code)


async def test_unknown_paths_and_wrong_methods(client: httpx.AsyncClient) -> None:
    problem(await client.get("/v1/nothing"), 404, "NotFound")
    response = await client.get("/v1/answer")
    problem(response, 405, "BadRequest")
    assert response.headers["allow"] == "POST"


async def test_a_bug_is_500_without_its_details_and_logged_once(
    engine: Engine,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_name: str) -> None:
        raise RuntimeError("secret internals")

    monkeypatch.setattr(engine.rag.store, "open", broken)
    with caplog.at_level(logging.ERROR):
        response = await client.get("/v1/documents")
    told = problem(response, 500, "RagError")
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert "log" in told["hint"]
    (record,) = caplog.records
    assert record.exc_info
    assert response.headers["x-request-id"] in record.getMessage()


def tree(cls: type[e.RagError]) -> list[type[e.RagError]]:
    """Of rag.errors: what another package adds for itself passes through no service."""
    of_rag = (child for child in cls.__subclasses__() if child.__module__ in (e.__name__, "rag.not_found"))
    return [cls, *(found for child in of_rag for found in tree(child))]


async def test_every_error_has_its_status_and_comes_back_as_itself(
    engine: Engine, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        "RagError": 500, "BadRequest": 400, "BadParameter": 400, "BadSetting": 400, "BadName": 400,
        "QuestionTooLong": 413, "BadFileName": 400, "UploadTooLarge": 413, "DiskFull": 507,
        "NotFound": 404, "CollectionNotFound": 404, "DocumentNotFound": 404, "JobNotFound": 404,
        "ConversationNotFound": 404, "ConversationBusy": 409, "RefNotFound": 404,
        "RepositoryUnreadable": 422, "SymbolNotFound": 404, "AmbiguousName": 400, "UnknownModel": 400,
        "BackupUnreadable": 400, "NotEmpty": 409,
        "PathNotAllowed": 403, "ConfirmationNeeded": 428, "NotReplaceable": 409, "OutOfDate": 412,
        "OriginalNotFound": 404, "AnswerNotFound": 404,
        "UrlNotAllowed": 403, "UrlUnreadable": 502,
        "IdempotencyKeyReused": 422, "IdempotencyKeyBusy": 409,
        "CollectionExists": 409, "CollectionBusy": 409,
        "AccessError": 401, "KeyMissing": 401, "KeyRefused": 401, "ScopeMissing": 403, "KeyNotFound": 404,
        "SourceError": 422, "SourceMissing": 404, "SourceEmpty": 422, "SourceCorrupt": 422, "SourceUnsupported": 422,
        "SourceCrash": 422, "SourceOverLimit": 422,
        "StoreError": 500, "DataFolderInUse": 409, "FingerprintMismatch": 409, "DataTooNew": 409,
        "StoreUnavailable": 503,
        "ModelError": 503, "ModelNotInstalled": 503, "ModelUnavailable": 503, "ModelRefused": 502,
        "ModelNotFound": 404, "EmbedderUnavailable": 503, "RerankerUnavailable": 503, "NotEnoughMemory": 503,
        "ContextTooLong": 422, "ServiceError": 500, "Overloaded": 429, "RateLimited": 429,
            "PortInUse": 500, "ServiceStopping": 503,
            "ServiceUnreachable": 500, "TimedOut": 504,
    }  # fmt: skip
    raised: list[type[e.RagError]] = []

    def broken(_name: str) -> None:
        raise raised[-1]("What is wrong.", "The way out.")

    monkeypatch.setattr(engine.rag.store, "open", broken)
    for kind in tree(e.RagError):
        raised.append(kind)
        response = await client.get("/v1/documents")
        told = problem(response, expected[kind.__name__], kind.__name__)
        assert (told["detail"], told["hint"]) == ("What is wrong.", "The way out.")
        assert told["type"] == f"urn:openbook:{kind.__name__}"
        assert ("retry-after" in response.headers) == (response.status_code in (429, 503))
        with pytest.raises(kind, match=r"What is wrong\. The way out\."):
            replaying(response).call("GET", "/v1/documents")


class Unread(FakeGenerator):
    """Reads a prompt without end."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Prompt],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        self.asked.set()
        await asyncio.Event().wait()
        yield Delta()


async def test_waiting_is_told_and_who_goes_away_waits_no_more(engine: Engine, app: ASGIApp) -> None:
    generator = Unread()
    change(engine.rag, generator=generator)
    question = {"question": "battery?", "stream": True}
    first, second = Connection("/v1/answer", question), Connection("/v1/answer", question, bodies=2)
    running = first.run(app)
    await asyncio.wait_for(generator.asked.wait(), 5)
    waiting = second.run(app)
    await asyncio.wait_for(second.begun.wait(), 5)
    assert second.bodies[0].startswith(b"event: reading")
    event, data = second.bodies[1].decode().strip().splitlines()
    assert event == "event: waiting"
    told = json.loads(data.removeprefix("data: "))
    assert told["position"] == 1
    assert told["start_s"] >= 0
    assert engine.rag.serving.gate.requests == 2
    second.gone.set()
    await asyncio.wait_for(waiting, 5)
    assert engine.rag.serving.gate.requests == 1
    first.gone.set()
    await asyncio.wait_for(running, 5)
    assert engine.rag.serving.gate.requests == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_overload_is_429_and_says_when_to_come_again(
    engine: Engine, app: ASGIApp, client: httpx.AsyncClient, stream: bool
) -> None:
    generator = Unread()
    change(engine.rag, generator=generator)
    engine.rag.serving.gate = admission.Gate(admission.Rules(max_wait_s=30))
    engine.rag.serving.costs = Costly(90.0)
    first = Connection("/v1/answer", {"question": "battery?"})
    running = first.run(app)
    await asyncio.wait_for(generator.asked.wait(), 5)
    response = await client.post("/v1/answer", json={"question": "battery?", "stream": stream})
    told = problem(response, 429, "Overloaded")
    assert told["retryable"] is True
    assert response.headers["retry-after"] == "60"
    assert told["hint"] == "Ask again in about 60 s."
    first.gone.set()
    await asyncio.wait_for(running, 5)


@pytest.mark.parametrize(("priority", "status"), [(-11, 422), (-10, 200), (10, 200), (11, 422), (0.5, 422)])
async def test_priorities(client: httpx.AsyncClient, priority: float, status: int) -> None:
    asked = {"question": "battery?", "priority": priority}
    assert (await client.post("/v1/answer", json=asked)).status_code == status


def replaying(response: httpx.Response) -> Remote:
    """The command line's side, given what the service sent."""
    replay = httpx.Response(response.status_code, headers=response.headers, content=response.content)
    return Remote("http://127.0.0.1:1", transport=httpx.MockTransport(lambda _request: replay))


def test_the_table_of_statuses_has_the_special_before_the_general() -> None:
    kinds = [kind for kind, _ in STATUS]
    assert not [(a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :] if issubclass(b, a)]
    assert problem_of(e.SourceEmpty("x")).status == 422


# --- access ------------------------------------------------------------------------------------------------

HOSTS = {
    "127.0.0.1": 200, "127.0.0.1:8080": 200, "localhost:8080": 200, "LOCALHOST": 200, "[::1]:8080": 200, "[::1]": 200,
    "evil.example": 400, "127.0.0.1.evil.example": 400, "localhost.evil.example:8080": 400, "testserver": 400,
    "[::1": 400, "": 400, "127.0.0.1@evil.example": 400,
}  # fmt: skip


async def test_only_its_own_names_reach_a_service_on_loopback(client: httpx.AsyncClient) -> None:
    for host, status in HOSTS.items():
        response = await client.get("/healthz", headers={"host": host})
        assert response.status_code == status, host
        if status != 200:
            problem(response, 400, "BadRequest")


async def test_elsewhere_any_name_reaches_it(engine: Engine) -> None:
    async with started(engine, host="0.0.0.0") as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://spark.example") as client:
            assert (await client.get("/healthz")).status_code == 200


async def test_every_reply_carries_the_id_of_its_log_line(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "openbook.access")
    seen = [
        await client.get("/v1/documents"),
        await client.get("/nothing"),
        await client.post("/v1/answer", json={}),
        await client.get("/v1/status", headers={"host": "evil.example"}),
        await client.post("/v1/answer", json={"question": "battery?", "stream": True}),
    ]
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "openbook.access"]
    assert [line["request"] for line in lines] == [response.headers["x-request-id"] for response in seen]
    assert [line["status"] for line in lines] == [200, 404, 422, 400, 200]
    assert len({line["request"] for line in lines}) == len(seen)


async def test_only_the_owner_writes(engine: Engine, client: httpx.AsyncClient, gauge: Path) -> None:
    for value in (None, "Bearer wrong", TOKEN, "Bearer ", "Bearer é"):
        headers = httpx.Headers({"Authorization": value} if value else {}, encoding="latin-1")
        ingest = await client.post("/v1/ingest", json={"paths": [str(gauge)]}, headers=headers)
        code = "KeyRefused" if value in ("Bearer wrong", "Bearer é") else "KeyMissing"
        problem(ingest, 401, code)
        assert ingest.headers["www-authenticate"] == "Bearer"
        remove = await client.request("DELETE", "/v1/documents", json={"all": True}, headers=headers)
        problem(remove, 401, code)
    assert engine.rag.store.open("default").size()[0] == 1


# --- search, documents, ingest, remove -----------------------------------------------------------------------


async def test_search(client: httpx.AsyncClient) -> None:
    body = (await client.post("/v1/search", json={"query": "battery days", "limit": 1})).json()
    assert body["collection"] == "default"
    (hit,) = body["hits"]
    assert "400 days — even" in hit["passage"]["text"]
    assert hit["document"]["title"] == "Gauge"
    problem(await client.post("/v1/search", json={"query": "x", "limit": 201}), 422, "BadRequest")
    problem(await client.post("/v1/search", json={"query": " "}), 400, "BadRequest")


async def test_documents_and_their_removal(engine: Engine, client: httpx.AsyncClient, gauge: Path) -> None:
    ingested(engine, gauge, collection="brief")
    listed = (await client.get("/v1/documents?collection=brief")).json()
    assert [document["source"] for document in listed["documents"]] == [gauge.as_uri()]

    async def remove(**body: object) -> httpx.Response:
        return await client.request(
            "DELETE", "/v1/documents", json=body | {"collection": "brief"}, headers=OWNER
        )

    problem(await remove(names=["nothing.md"]), 404, "DocumentNotFound")
    problem(await remove(names=[]), 400, "BadRequest")
    problem(await remove(names=["gauge.md"], all=True), 400, "BadRequest")
    problem(await remove(names=["\0"]), 400, "BadRequest")
    gone = await remove(names=["gauge.md"], folder=str(gauge.parent))
    assert gone.json() == {"collection": "brief", "removed": listed["documents"], "files": []}
    assert (await client.get("/v1/documents?collection=brief")).json()["documents"] == []
    assert (await remove(all=True)).json()["removed"] == []
    problem(await client.get("/v1/documents?collection=brief"), 404, "CollectionNotFound")
    problem(await remove(all=True), 404, "CollectionNotFound")


async def test_ingest_streams_what_happens_to_each_file(client: httpx.AsyncClient, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    (folder / "a.txt").write_text("Text of a.")
    (folder / "b.pdf").write_bytes(b"not a PDF")
    stream = await events(
        client, "/v1/ingest", {"paths": [str(folder)], "collection": "streamed"}, headers=OWNER
    )
    assert stream[0].event == "found"
    assert [event.event for event in stream if event.event != "progress"] == [
        "found",
        "file",
        "file",
        "report",
    ]
    report = json.loads(stream[-1].data)
    assert {file["name"]: file["status"] for file in report["files"]} == {
        "new/a.txt": "added",
        "new/b.pdf": "failed",
    }
    assert (report["parsed"], report["embedded"]) == (1, 1)
    assert (await client.get("/v1/documents?collection=streamed")).json()["documents"][0]["title"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("relative.txt", 400, "BadRequest"), ("/no/such/file", 404, "SourceMissing"), ("/\0", 404, "SourceMissing"),
     ("/" + "x" * 5000, 404, "SourceMissing")],
)  # fmt: skip
async def test_ingest_refuses_a_path_before_anything_is_done(
    client: httpx.AsyncClient, gauge: Path, path: str, status: int, code: str
) -> None:
    body = {"paths": [str(gauge), path], "collection": "refused"}
    problem(await client.post("/v1/ingest", json=body, headers=OWNER), status, code)
    problem(await client.get("/v1/documents?collection=refused"), 404, "CollectionNotFound")


async def test_ingest_refuses_a_name_before_the_stream(client: httpx.AsyncClient, gauge: Path) -> None:
    body = {"paths": [str(gauge)], "collection": "../x"}
    problem(await client.post("/v1/ingest", json=body, headers=OWNER), 400, "BadName")
    problem(await client.post("/v1/ingest", json={"paths": []}, headers=OWNER), 422, "BadRequest")


class Gate:
    """Holds the embedder's threads until it is opened, and counts who is in."""

    def __init__(self, engine: Engine) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()
        self.inside = self.most = 0
        self._embed = engine.rag.embedder.embed
        engine.rag.embedder.embed = self  # type: ignore[method-assign]

    def __call__(self, texts: Sequence[str]) -> Any:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        assert self.opened.wait(5)
        self.inside -= 1
        return self._embed(texts)


async def test_one_writer_at_a_time_and_the_second_sees_what_the_first_did(
    engine: Engine, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    path = tmp_path / "new.txt"
    path.write_text("Some new text.")
    gate = Gate(engine)
    body = {"paths": [str(path)], "collection": "turns"}
    runs = [asyncio.create_task(events(client, "/v1/ingest", body, headers=OWNER)) for _ in range(2)]
    await asyncio.to_thread(gate.entered.wait, 5)
    # Reading goes on meanwhile.
    assert (await client.post("/v1/search", json={"query": "battery"})).status_code == 200
    gate.opened.set()
    streams = [await run for run in runs]
    # The first may have to wait, too, for what the service itself writes as it starts.
    assert sorted(stream[0].event for stream in streams) in (["found", "waiting"], ["waiting", "waiting"])
    reports = [json.loads(stream[-1].data) for stream in streams]
    assert gate.most == 1
    # Neither had found the collection when it was asked for; the second one waited and then did.
    assert sorted(report["files"][0]["status"] for report in reports) == ["added", "unchanged"]


async def test_a_collection_is_built_anew(engine: Engine, client: httpx.AsyncClient, tmp_path: Path) -> None:
    path = tmp_path / "new.txt"
    path.write_text("Some new text.")
    ingested(engine, path, collection="anew")
    before = engine.rag.store.open("anew").documents()
    told = await events(client, "/v1/reindex", {"collection": "anew"}, headers=OWNER)
    assert [event.event for event in told] == ["found", "progress", "file", "report"]
    assert json.loads(told[-1].data)["embedded"] == 1
    assert engine.rag.store.open("anew").documents() == before
    assert aside("anew") not in engine.rag.store.names()
    unknown = await client.post("/v1/reindex", json={"collection": "nope"}, headers=OWNER)
    problem(unknown, 404, "CollectionNotFound")
    assert (await client.post("/v1/reindex", json={"collection": "anew"})).status_code == 401


async def test_what_has_gone_is_removed_when_asked(
    engine: Engine, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(f"Text of {name}.")
    body = {"paths": [str(folder)], "collection": "pruned"}
    await events(client, "/v1/ingest", body, headers=OWNER)
    (folder / "a.txt").unlink()
    kept = await events(client, "/v1/ingest", body, headers=OWNER)
    assert [file["status"] for file in json.loads(kept[-1].data)["files"]] == ["unchanged"]
    told = await events(client, "/v1/ingest", body | {"prune": True}, headers=OWNER)
    files = json.loads(told[-1].data)["files"]
    assert [(file["name"], file["status"]) for file in files] == [
        ("files/b.txt", "unchanged"),
        ("files/a.txt", "removed"),
    ]
    assert [document.name for document in engine.rag.store.open("pruned").documents()] == ["files/b.txt"]


class Connection:
    """A client that goes away when it is told to. The reply has ``begun`` when so many ``bodies`` have come."""

    def __init__(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None, bodies: int = 1
    ) -> None:
        self.enough = bodies
        self.path, self.body = path, json.dumps(body).encode()
        self.headers = {"host": "127.0.0.1", "content-type": "application/json"} | (headers or {})
        self.gone, self.begun = asyncio.Event(), asyncio.Event()
        self.bodies: list[bytes] = []
        self._asked = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and message["body"]:
            self.bodies.append(message["body"])
            if len(self.bodies) >= self.enough:
                self.begun.set()

    def run(self, app: ASGIApp) -> asyncio.Task[None]:
        headers = [(name.lower().encode(), value.encode()) for name, value in self.headers.items()]
        scope = {
            "type": "http", "method": "POST", "path": self.path, "raw_path": self.path.encode(), "root_path": "",
            "scheme": "http", "query_string": b"", "http_version": "1.1", "headers": headers,
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080), "asgi": {"version": "3.0"},
        }  # fmt: skip

        async def request() -> None:
            await app(scope, self.receive, self.send)

        return asyncio.create_task(request())


class Endless(FakeGenerator):
    """Says one word and then thinks for ever; notes when it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.thinking, self.closed = asyncio.Event(), asyncio.Event()

    async def stream(
        self,
        messages: Sequence[Prompt],
        *,
        max_tokens: int,
        sampling: Sampling = GREEDY,
        ids: Sequence[int] = (),
    ) -> AsyncGenerator[Delta, None]:
        try:
            yield Delta("word ")
            self.thinking.set()
            await asyncio.Event().wait()
        finally:
            self.closed.set()


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_goes_away_ends_the_generation(
    engine: Engine, app: ASGIApp, stream: bool
) -> None:
    generator = Endless()
    change(engine.rag, generator=generator)
    connection = Connection("/v1/answer", {"question": "battery?", "stream": stream})
    running = connection.run(app)
    await asyncio.wait_for(generator.thinking.wait(), 5)
    assert not generator.closed.is_set()
    connection.gone.set()
    await asyncio.wait_for(running, 5)
    assert generator.closed.is_set()


async def test_a_client_that_goes_away_in_an_ingest_leaves_whole_documents_and_the_next_writer_waits(
    engine: Engine, app: ASGIApp, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"Text of {name}.")
    gate = Gate(engine)
    body = {"paths": [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], "collection": "left"}
    connection = Connection("/v1/ingest", body, OWNER)
    running = connection.run(app)
    await asyncio.to_thread(gate.entered.wait, 5)
    connection.gone.set()
    again = asyncio.create_task(events(client, "/v1/ingest", body, headers=OWNER))
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not running.done(), "the step at hand must end before the next writer begins"
    assert gate.inside == 1
    gate.opened.set()
    await asyncio.wait_for(running, 5)
    report = json.loads((await again)[-1].data)
    assert gate.most == 1
    # What the step at hand had written is unchanged now; that is all of it where both were embedded together.
    assert {file["status"] for file in report["files"]} <= {"added", "unchanged"}
    assert engine.rag.store.open("left").size() == (2, 2)


# --- state and description ------------------------------------------------------------------------------------


async def test_health_readiness_and_status(client: httpx.AsyncClient, folder: Path) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True
    damaged = folder / "collections" / "damaged"
    damaged.mkdir()
    status = (await client.get("/v1/status")).json()
    shutil.rmtree(damaged)
    assert status["collections"]["default"] == {
        "documents": 1,
        "passages": 1,
        "outdated": 0,
        "error": None,
    }
    assert "damaged" in status["collections"]["damaged"]["error"]
    assert status["data_dir"] == str(folder)
    assert status["version"]


async def test_not_ready_while_the_embedder_loads_or_where_it_cannot(engine: Engine) -> None:
    wait, failure = threading.Event(), e.ModelNotInstalled("No such embedder.", "Run: make setup")

    def preload() -> None:
        assert wait.wait(5)
        raise failure

    slow = replace(engine, preload=preload)
    async with started(slow) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            first = await client.get("/readyz")
            wait.set()
            later = first
            while later.json() == first.json():
                later = await client.get("/readyz")
    assert (first.status_code, later.status_code) == (503, 503)
    assert first.json()["checks"]["embedder"]["detail"].startswith("loading ")
    assert later.json()["checks"]["embedder"]["detail"] == "No such embedder. Run: make setup"


async def test_openapi_says_what_is_returned(
    client: httpx.AsyncClient, generator: FakeGenerator, gauge: Path
) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    generator.reply = REPLY + " And something else entirely, without support."
    ask = {"question": "How long does the battery last?"}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("post", "/v1/answer", {"json": ask}),
        ("post", "/v1/answer", {"json": ask | {"stream": True}}),
        ("post", "/v1/answer", {"json": ask | {"collection": "nope"}}),
        ("post", "/v1/answer", {"json": {}}),
        ("post", "/v1/answer", {"json": {"question": "x" * 10_000}}),
        ("post", "/v1/answer", {"json": ask, "headers": {"host": "evil.example"}}),
        ("post", "/v1/search", {"json": {"query": "battery"}}),
        ("get", "/v1/documents", {}),
        ("get", "/v1/documents", {"params": {"collection": ["a"] * 2}}),
        ("delete", "/v1/documents", {"json": {"names": ["nope"]}, "headers": OWNER}),
        ("delete", "/v1/documents", {"json": {"names": ["nope"]}}),
        (
            "delete",
            "/v1/documents",
            {"json": {"names": ["gauge.md"], "folder": str(gauge.parent)}, "headers": OWNER},
        ),
        ("post", "/v1/ingest", {"json": {"paths": [str(gauge)]}, "headers": OWNER}),
        ("post", "/v1/ingest", {"json": {"paths": []}, "headers": OWNER}),
        ("get", "/v1/status", {}),
        ("get", "/healthz", {}),
        ("get", "/readyz", {}),
    ]
    for method, path, arguments in calls:
        response = await client.request(method, path, **arguments)
        described = document["paths"][path][method]["responses"]
        assert str(response.status_code) in described, (path, response.status_code)
        kinds = described[str(response.status_code)]["content"]
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in kinds, (path, response.status_code, kind)
        if kind != "text/event-stream":
            assert mismatches(response.json(), kinds[kind]["schema"], document) == []
    generator.error = e.ModelUnavailable("away")
    unready = await client.get("/readyz")
    schema = document["paths"]["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
    assert mismatches(unready.json(), schema, document) == []


async def test_openapi_names_every_schema_it_uses_and_no_other(client: httpx.AsyncClient) -> None:
    text = (await client.get("/openapi.json")).text
    defined = set(json.loads(text)["components"]["schemas"])
    used = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used == defined
    assert "HTTPValidationError" not in defined  # FastAPI's own shape of 422, which is never sent
    for path, operations in json.loads(text)["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (path, method)


async def test_openapi_says_where_a_key_is_needed(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    paths = document["paths"]
    assert paths["/healthz"]["get"]["security"] == []
    assert paths["/v1/answer"]["post"]["security"] == [{"key": []}, {}]
    assert paths["/v1/documents"]["delete"]["security"] == [{"key": []}]
    assert all("security" in each for operations in paths.values() for each in operations.values())


def test_a_check_of_replies_that_finds_faults() -> None:
    """The checker itself: it must not find everything well."""
    document = {"components": {"schemas": {"A": {"type": "object", "properties": {"n": {"type": "integer"}},
                                                 "required": ["n"]}}}}  # fmt: skip
    schema = {"type": "array", "items": {"$ref": "#/components/schemas/A"}}
    assert mismatches([{"n": 1}], schema, document) == []
    assert mismatches([{}], schema, document) == ["$[0].n: missing"]
    assert mismatches([{"n": True}], schema, document) == ["$[0].n: True is not integer"]
    assert mismatches([{"n": 1, "m": 2}], schema, document) == ["$[0].m: not described"]
    assert mismatches("x", {"anyOf": [{"type": "null"}, {"enum": ["y"]}]}, document) != []


async def test_a_stream_that_stops_early_is_an_error_of_the_command_line() -> None:
    def cut(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200,
            headers={"content-type": "text/event-stream"},
            content=b'event: piece\ndata: {"text": "x"}\n\n',
        )

    from api.asking import EVENTS

    remote = Remote("http://127.0.0.1:1", transport=httpx.MockTransport(cut))
    with pytest.raises(e.ServiceUnreachable, match="stopped before it was done"):
        list(remote.stream("POST", "/v1/answer", EVENTS, last="answer"))
    with pytest.raises(e.ServiceUnreachable, match=r"does not understand.*another version"):
        list(remote.stream("POST", "/v1/answer", {"answer": dict}, last="answer"))


# --- targets for the first token ------------------------------------------------------------------------------


async def test_a_request_goes_before_its_collection(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.rag.serving.costs = Costly(0.5)
    set_ = await client.put(
        "/v1/target", json={"collection": "default", "target_ttft_ms": 700}, headers=OWNER
    )
    assert (set_.status_code, set_.json()) == (200, {"collection": "default", "target_ttft_ms": 700})
    assert (await client.get("/v1/target")).json() == set_.json()
    receipts = []
    for more in ({}, {"target_ttft_ms": 400}):
        response = await client.post("/v1/answer", json={"question": "battery?"} | more)
        receipts.append(response.json()["receipt"])
    assert [receipt["target_s"] for receipt in receipts] == [0.7, 0.4]
    assert [receipt["predicted_s"] for receipt in receipts] == [0.5, 0.5]
    assert "The first token is predicted after 500 ms; the target was 400 ms." in receipts[1]["warnings"]
    await client.put("/v1/target", json={"target_ttft_ms": None}, headers=OWNER)
    assert (await client.get("/v1/target")).json()["target_ttft_ms"] is None


async def test_what_is_no_target_is_refused(client: httpx.AsyncClient) -> None:
    for bad in (0, -1, "soon", 1.5, 3_600_001):
        asked = {"question": "battery?", "target_ttft_ms": bad}
        told = problem(await client.post("/v1/answer", json=asked), 422, "BadRequest")
        assert "target_ttft_ms" in told["detail"]
        response = await client.put("/v1/target", json={"target_ttft_ms": bad}, headers=OWNER)
        problem(response, 422, "BadRequest")
    response = await client.put("/v1/target", json={"collection": "nope", "target_ttft_ms": 1}, headers=OWNER)
    problem(response, 404, "CollectionNotFound")
    problem(await client.get("/v1/target?collection=nope"), 404, "CollectionNotFound")
    response = await client.put("/v1/target", json={"target_ttft_ms": 1})
    assert response.status_code == 401
