"""The REST paths: thin, each a call into rag or ingest."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import HTTPException
from sse_starlette import EventSourceResponse

from api.problems import problem_of
from api.schemas import (
    AnswerRequest,
    Check,
    CollectionStatus,
    DocumentsReply,
    IngestRequest,
    Problem,
    Readiness,
    RemoveReply,
    RemoveRequest,
    SearchReply,
    SearchRequest,
    Status,
)
from ingest import catalog
from ingest.pipeline import Event as IngestEvent
from ingest.pipeline import Ingestion, stepwise
from ingest.report import FileResult, Found, Progress, Report
from rag import wire
from rag.answer import Event, Piece, Reading
from rag.compose import Engine
from rag.errors import BadRequest, RagError, SourceMissing
from rag.types import Answer, Question

router = APIRouter()

_SSE: dict[str, Any] = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
_PROBLEM: dict[str, Any] = {"model": Problem, "content": {"application/problem+json": {}}}


def problems_of(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return dict.fromkeys(statuses, _PROBLEM)


def engine_of(request: Request) -> Engine:
    return cast(Engine, request.state.engine)


EngineOf = Annotated[Engine, Depends(engine_of)]


def owner_only(engine: EngineOf, authorization: Annotated[str, Header()] = "") -> None:
    """Only who can read the data folder knows the token; so no web page, and no other user, writes."""
    if not secrets.compare_digest(authorization.encode(), f"Bearer {engine.owner.record.token}".encode()):
        raise HTTPException(403, "This request needs the token in owner.json of the service's data folder.")


@router.post(
    "/v1/answer",
    response_model=Answer,
    responses={200: _SSE, **problems_of(400, 404, 409, 413, 422, 502, 503)},
    summary="Answer a question from a collection, with citations and a receipt",
)
async def answer(body: AnswerRequest, engine: EngineOf) -> Any:
    question = Question(
        body.question,
        body.collection,
        max_context_tokens=body.max_context_tokens,
        max_answer_tokens=body.max_answer_tokens,
        temperature=body.temperature,
    )
    if not body.stream:
        return await engine.rag.answer(question)
    stream = engine.rag.stream(question)
    first = await anext(stream)  # what fails before it has its own HTTP status
    return EventSourceResponse(_answer_events(first, stream))


async def _answer_events(first: Event, rest: AsyncIterator[Event]) -> AsyncIterator[dict[str, str]]:
    names: dict[type[Any], str] = {Reading: "reading", Piece: "piece", Answer: "answer"}
    yield _event(names[type(first)], first)
    async for message in _reported(names, rest):
        yield message


async def _reported(names: dict[type[Any], str], events: AsyncIterator[Any]) -> AsyncIterator[dict[str, str]]:
    """Events by name; once a stream has begun, an error is its last event."""
    try:
        async for event in events:
            yield _event(names[type(event)], event)
    except RagError as error:
        yield {"event": "error", "data": problem_of(error).model_dump_json()}


def _event(name: str, value: Any) -> dict[str, str]:
    return {"event": name, "data": json.dumps(wire.dump(value), ensure_ascii=False)}


@router.post(
    "/v1/search",
    response_model=SearchReply,
    responses=problems_of(400, 404, 409, 413, 422, 503),
    summary="Passages for a query, best first",
)
async def search(body: SearchRequest, engine: EngineOf) -> Any:
    hits = await engine.rag.search(body.query, body.collection, body.limit)
    return {"collection": body.collection, "hits": hits}


@router.post(
    "/v1/ingest",
    response_class=EventSourceResponse,
    dependencies=[Depends(owner_only)],
    responses={200: _SSE, **problems_of(400, 403, 404, 409, 422, 503)},
    summary="Read files of the service's machine into a collection (the owner of the data folder only)",
)
async def ingest(body: IngestRequest, engine: EngineOf, request: Request) -> EventSourceResponse:
    paths = [Path(path) for path in body.paths]
    for path in paths:
        if not path.is_absolute():
            raise BadRequest(f"{path} is not an absolute path.", "Send absolute paths.")
        if not path.exists():
            raise SourceMissing(f"There is no file or folder {path}.", "Check the path.")
    rag = engine.rag
    ingestion = await asyncio.to_thread(Ingestion, rag.store, rag.embedder, rag.tokens, body.collection)
    return EventSourceResponse(_ingest_events(ingestion, paths, request.state.writing))


async def _ingest_events(
    ingestion: Ingestion, paths: list[Path], writing: asyncio.Lock
) -> AsyncIterator[dict[str, str]]:
    names: dict[type[Any], str] = {
        Found: "found", Progress: "progress", FileResult: "file", Report: "report"
    }  # fmt: skip
    async with (
        writing
    ):  # one writer at a time: two would fight for the processor and could meet on a document
        events: AsyncIterator[IngestEvent] = stepwise(ingestion.run(paths))
        async for message in _reported(names, events):
            yield message


@router.get(
    "/v1/documents", responses=problems_of(400, 404, 409, 503), summary="The documents of a collection"
)
async def documents(engine: EngineOf, collection: Annotated[str, Query()] = "default") -> DocumentsReply:
    index = await asyncio.to_thread(engine.rag.store.open, collection)
    return DocumentsReply(collection=collection, documents=await asyncio.to_thread(index.documents))


@router.delete(
    "/v1/documents",
    dependencies=[Depends(owner_only)],
    responses=problems_of(400, 403, 404, 409, 503),
    summary="Remove documents, or a collection (the owner of the data folder only)",
)
async def remove(body: RemoveRequest, engine: EngineOf, request: Request) -> RemoveReply:
    async with request.state.writing:
        gone = await asyncio.to_thread(
            catalog.removed,
            engine.rag.store,
            body.collection,
            body.names,
            Path(body.folder),
            everything=body.all,
        )
    return RemoveReply(collection=body.collection, removed=gone)


@router.get("/v1/status", summary="What this service is, holds and does")
async def status(engine: EngineOf, request: Request) -> Status:
    readiness = await _readiness(engine, request)
    return Status(
        version=version("openbook"),
        pid=os.getpid(),
        data_dir=str(engine.owner.folder),
        url=engine.owner.record.url,
        model=readiness.checks["model"].detail,
        embedder=engine.rag.embedder.name,
        collections=await asyncio.to_thread(collections, engine),
    )


def collections(engine: Engine) -> dict[str, CollectionStatus]:
    return {name: _collection(engine, name) for name in engine.rag.store.names()}


def _collection(engine: Engine, name: str) -> CollectionStatus:
    try:
        documents, passages = engine.rag.store.open(name).size()
    except RagError as error:  # one damaged collection must not hide the others
        return CollectionStatus(error=str(error))
    return CollectionStatus(documents=documents, passages=passages)


@router.get("/healthz", summary="Whether the process serves requests")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    responses={503: {"model": Readiness, "description": "Not ready yet, or not any more"}},
    summary="Whether questions can be answered now",
)
async def readyz(engine: EngineOf, request: Request, response: Response) -> Readiness:
    readiness = await _readiness(engine, request)
    if not readiness.ready:
        response.status_code = 503
    return readiness


async def _readiness(engine: Engine, request: Request) -> Readiness:
    checks = {
        "embedder": _loaded(request.state.loading, engine.rag.embedder.name),
        "store": await _check(asyncio.to_thread(engine.rag.store.names), "collections"),
        "model": await _check(engine.rag.generator.model(), "model"),
    }
    return Readiness(ready=all(check.ok for check in checks.values()), checks=checks)


def _loaded(loading: asyncio.Task[None], name: str) -> Check:
    if not loading.done():
        return Check(ok=False, detail=f"loading {name}")
    error = loading.exception()
    return Check(ok=error is None, detail=str(error) if error else name)


async def _check(asked: Any, what: str) -> Check:
    try:
        found = await asked
    except RagError as error:
        return Check(ok=False, detail=str(error))
    if what == "model":
        return Check(ok=True, detail=f"{found.name}, window {found.window:,} tokens")
    return Check(ok=True, detail=f"{len(found)} {what}")
