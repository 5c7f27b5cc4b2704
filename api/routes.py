"""The REST paths: thin, each a call into rag or ingest."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

import anyio.lowlevel
from fastapi import APIRouter, Depends, Query, Request, Response
from sse_starlette import EventSourceResponse

from api.answered_once import answered_once, no_stream
from api.caller import Caller
from api.folders import allowed, asked_for
from api.idempotency import Key
from api.problems import bug, problem_of
from api.rates import Metered
from api.readiness import health
from api.record import note_error
from api.replies import SearchReply, Status
from api.rules import CallerOf, needs, public
from api.schemas import (
    AnswerRequest,
    IngestRequest,
    Readiness,
    ReindexRequest,
    RemoveRequest,
    SearchRequest,
)
from api.wanted import first_of, while_wanted
from ingest import catalog
from ingest.pipeline import Event as Happening
from ingest.pipeline import stepwise
from ingest.reindex import reindexed
from ingest.report import FileResult, Found, Progress, Removal, Report, Waiting
from ingest.run import begin
from rag import admission, wire
from rag.answer import Event, Piece, Reading
from rag.compose import Engine
from rag.errors import RagError
from rag.question import Question, Sampling
from rag.types import Answer
from rag.visible import Visible

log = logging.getLogger(__name__)
router = APIRouter()

_EVENT = {
    "type": "object",
    "description": "Each of the events: its name, and JSON.",
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
SSE: dict[str, Any] = {"content": {"text/event-stream": {"schema": _EVENT}}}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document; any request can also meet a bug, lack a key, or come from where it must not."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": _PROBLEM}
        for status in sorted({400, 401, 403, 500, *statuses})
    }


async def engine_of(request: Request) -> Engine:
    """With the collections and conversations that there are for the caller."""
    engine, caller = cast(Engine, request.state.engine), cast(Caller | None, request.state.caller)
    if caller is None or not caller.key:
        return engine
    seen = engine.rag.seen_by(caller.tenant, Visible(engine.rag.store, caller.sees))
    spend = partial(request.state.rates.spend, caller.key)
    return replace(engine, rag=seen.through(lambda generator: Metered(generator, spend)))


EngineOf = Annotated[Engine, Depends(engine_of)]


@router.post(
    "/v1/answer",
    response_model=Answer,
    responses={200: SSE, **problems_of(404, 409, 413, 422, 429, 502, 503)},
    summary="Answer a question from a collection, with citations and a receipt",
)
@needs("ask")
async def answer(body: AnswerRequest, engine: EngineOf, caller: CallerOf, key: Key, request: Request) -> Any:
    if key and body.stream:
        raise no_stream()
    question = Question(
        body.question,
        _collections(body.collection),
        max_context_tokens=body.max_context_tokens,
        max_answer_tokens=body.max_answer_tokens,
        sampling=Sampling(body.temperature),
        among=body.filter,
        policy=body.policy,
        conversation=body.conversation,
        target_ttft_ms=body.target_ttft_ms,
        priority=body.priority,
        client=caller.key or (request.client.host if request.client else ""),
        model=body.model,
    )
    if key:
        return await answered_once(request, key, engine.rag, question)
    if not body.stream:
        return await while_wanted(request, engine.rag.answer(question))
    stream = engine.rag.stream(question)
    first = await while_wanted(request, first_of(stream))  # what fails before it has its own HTTP status
    if isinstance(first, Response):
        return first
    return EventSourceResponse(_answer_events(first, stream))


async def _answer_events(first: Event, rest: AsyncGenerator[Event, None]) -> AsyncIterator[dict[str, str]]:
    names: dict[type[Any], str] = {
        admission.Waiting: "waiting",
        Reading: "reading",
        Piece: "piece",
        Answer: "answer",
    }
    # A client that goes away ends the generation: it is closed now, not when it is collected.
    async with aclosing(rest), aclosing(reported(names, rest)) as messages:
        yield event_of(names[type(first)], first)
        async for message in messages:
            yield message


async def reported(
    names: dict[type[Any], str], events: AsyncIterator[Any]
) -> AsyncGenerator[dict[str, str], None]:
    """Events by name; once a stream has begun, an error is its last event."""
    try:
        async for event in events:
            yield event_of(names[type(event)], event)
    except RagError as error:
        yield error_event(error)
    except Exception:
        log.exception("a stream failed")
        note_error("RagError")
        yield {"event": "error", "data": bug().model_dump_json()}


def error_event(error: RagError) -> dict[str, str]:
    note_error(error.code)
    return {"event": "error", "data": problem_of(error).model_dump_json()}


def event_of(name: str, value: Any) -> dict[str, str]:
    return {"event": name, "data": json.dumps(wire.dump(value), ensure_ascii=False)}


@router.post(
    "/v1/search",
    responses=problems_of(404, 409, 413, 422, 503),
    summary="Passages for a query, best first",
)
@needs("read")
async def search(body: SearchRequest, engine: EngineOf) -> SearchReply:
    question = Question(body.query, _collections(body.collection), among=body.filter)
    return SearchReply(question.collection, tuple(await engine.rag.search(question, body.limit)))


def _collections(asked: str | list[str]) -> str | tuple[str, ...]:
    return asked if isinstance(asked, str) else tuple(asked)


@router.post(
    "/v1/ingest",
    response_class=EventSourceResponse,
    responses={200: SSE, **problems_of(403, 404, 409, 422, 503)},
    summary="Read files of the service's machine into a collection",
)
@needs("admin")
async def ingest(
    body: IngestRequest, engine: EngineOf, caller: CallerOf, request: Request
) -> EventSourceResponse:
    run = await asyncio.to_thread(begin, engine, await asked_for(body, allowed(caller, request)))
    told = _told_nobody if body.dry else request.state.metrics.file
    return EventSourceResponse(_ingest_events(run, request, told))


@router.post(
    "/v1/reindex",
    response_class=EventSourceResponse,
    responses={200: SSE, **problems_of(403, 404, 409, 422, 503)},
    summary="Build a collection anew by the embedding model in use",
)
@needs("admin")
async def reindex(body: ReindexRequest, request: Request) -> EventSourceResponse:
    engine: Engine = request.state.engine  # the one beside it that it is made in may not be the caller's
    await asyncio.to_thread(engine.rag.store.open, body.collection, any_embedder=True)
    return EventSourceResponse(_ingest_events(reindexed(engine.rag, body.collection), request))


def _told_nobody(_result: FileResult) -> None: ...


async def _ingest_events(
    run: Iterator[Happening], request: Request, told: Callable[[FileResult], None] = _told_nobody
) -> AsyncIterator[dict[str, str]]:
    """``told`` what happened to each file, also where the client has gone by then."""
    names: dict[type[Any], str] = {
        Found: "found", Progress: "progress", FileResult: "file", Report: "report"
    }  # fmt: skip
    # One writer at a time: two would fight for the processor and could meet on a document.
    writing: asyncio.Lock = request.state.writing
    if writing.locked():
        yield event_of("waiting", Waiting())
    try:
        steps = request.state.engine.rag.stopping.guarded(_steps(run, told))
        async with writing, aclosing(reported(names, steps)) as messages:
            async for message in messages:
                yield message
    finally:
        request.state.warmer.wake()


async def _steps(run: Iterator[Happening], told: Callable[[FileResult], None]) -> AsyncGenerator[Any, None]:
    events = stepwise(run)
    # The step at hand ends, and what the run has started, before the next writer may begin: also where the client
    # has gone.
    try:
        while True:
            with anyio.CancelScope(shield=True):
                event = await anext(events, None)
            if event is None:
                return
            if isinstance(event, FileResult):
                told(event)
            await anyio.lowlevel.checkpoint()  # where it is heard that the client has gone
            yield event
    finally:
        with anyio.CancelScope(shield=True):
            await events.aclose()


@router.get("/v1/documents", responses=problems_of(404, 409, 422, 503), summary="A collection's documents")
@needs("read")
async def documents(engine: EngineOf, collection: Annotated[str, Query()] = "default") -> catalog.Listing:
    return await asyncio.to_thread(catalog.listing, engine.rag.store, collection)


@router.delete(
    "/v1/documents",
    responses=problems_of(403, 404, 409, 422, 503),
    summary="Remove documents, or a collection",
)
@needs("write")
async def remove(body: RemoveRequest, engine: EngineOf, request: Request) -> Removal:
    async with request.state.writing:
        removal = await asyncio.to_thread(
            catalog.removed,
            engine.rag.store,
            request.state.uploads,
            engine.rag.collection_settings,
            body.collection,
            body.names,
            Path(body.folder),
            everything=body.all,
        )
        request.state.warmer.wake()
        return removal


@router.get("/v1/status", responses=problems_of(503), summary="What this service is, holds and does")
@needs("read")
async def status(engine: EngineOf, caller: CallerOf, request: Request) -> Status:
    found = await health(engine, request)
    return Status(
        version=version("openbook"),
        pid=os.getpid(),
        data_dir="" if caller.key else str(engine.owner.folder),
        url=engine.owner.record.url,
        model=found.models[0].detail,
        embedder=engine.rag.embedder.name,
        collections=await asyncio.to_thread(catalog.sizes, engine.rag.store, engine.rag.embedder),
        jobs=tuple(await asyncio.to_thread(request.state.runner.jobs.pending, caller.sees)),
        model_url=engine.server.status.url if engine.server else None,
        warm_tokens=await asyncio.to_thread(lambda: request.state.warmer.warm_up.resident),
        models=found.models if len(found.models) > 1 else (),
        embedder_problem="" if found.embedder.ok else found.embedder.detail,
    )


@router.get("/healthz", summary="Whether the process serves requests")
@public
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={503: {"model": Readiness, "description": "Not ready yet, or not any more"}},
    summary="Whether questions can be answered now",
)
@public
async def readyz(engine: EngineOf, request: Request, response: Response) -> Readiness:
    found = await health(engine, request)
    if not found.ready:
        response.status_code = 503
    # Strangers learn no more.
    return Readiness(ready=found.ready, checks=found.checks if request.state.caller else {})
