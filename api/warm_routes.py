"""The REST paths of what is prefilled beforehand: pinned documents, and warm-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from sse_starlette import EventSourceResponse

from api.idempotency import ONCE, Once
from api.replies import PinnedList
from api.routes import SSE, EngineOf, problems_of, reported
from api.rules import needs
from api.schemas import PinRequest, UnpinRequest, WarmRequest
from api.warmer import EVENTS, warmed
from ingest import pinning
from rag.warm import WarmUp

router = APIRouter(route_class=Once)


@router.get(
    "/v1/pinned", responses=problems_of(422, 503), summary="What every question of a collection reads first"
)
@needs("read")
async def pinned(engine: EngineOf, collection: Annotated[str, Query()] = "default") -> PinnedList:
    return PinnedList(collection, tuple(await asyncio.to_thread(engine.rag.pins.of, [collection])))


@router.post(
    "/v1/pinned",
    dependencies=[ONCE],
    responses=problems_of(403, 404, 409, 422, 503),
    summary="Pin documents",
)
@needs("write")
async def pin(body: PinRequest, engine: EngineOf, request: Request) -> PinnedList:
    async with request.state.writing:
        rag, folder = engine.rag, Path(body.folder)
        pins = await asyncio.to_thread(pinning.pin, rag.store, rag.pins, body.collection, body.names, folder)
    request.state.warmer.wake()
    return PinnedList(body.collection, tuple(pins))


@router.delete(
    "/v1/pinned",
    responses=problems_of(403, 404, 422, 503),
    summary="Unpin documents",
)
@needs("write")
async def unpin(body: UnpinRequest, engine: EngineOf, request: Request) -> PinnedList:
    async with request.state.writing:
        pins = await asyncio.to_thread(
            pinning.unpin,
            engine.rag.pins,
            body.collection,
            body.names,
            Path(body.folder),
            everything=body.all,
        )
    request.state.warmer.wake()
    return PinnedList(body.collection, tuple(pins))


@router.post(
    "/v1/warm",
    response_class=EventSourceResponse,
    responses={200: SSE, **problems_of(403, 422)},
    summary="Prefill what questions begin with, while nobody asks",
)
@needs("admin")
async def warm(body: WarmRequest, request: Request) -> EventSourceResponse:
    return EventSourceResponse(_events(request.state.warmer.warm_up, body))


async def _events(warm_up: WarmUp, body: WarmRequest) -> AsyncIterator[dict[str, str]]:
    names = {kind: name for name, kind in EVENTS.items()}
    async with aclosing(reported(names, warmed(warm_up, body.collection, body.questions))) as messages:
        async for message in messages:
            yield message
