"""The REST paths of conversations: who knows the id of one of its tenant may read it, go on with it and delete it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.idempotency import ONCE, Once
from api.replies import ConversationList
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import ConversationRequest
from rag.conversations import Summary, Transcript

router = APIRouter(route_class=Once, prefix="/v1/conversations")


@router.post(
    "",
    dependencies=[ONCE],
    status_code=201,
    responses=problems_of(409, 422, 503),
    summary="Begin a conversation; send {} as the body",
)
@needs("ask")
async def create(_body: ConversationRequest, engine: EngineOf, response: Response) -> Summary:
    made = await asyncio.to_thread(engine.rag.conversations.create)
    response.headers["Location"] = f"/v1/conversations/{made.id}"
    return made


@router.get(
    "",
    responses=problems_of(403, 422, 503),
    summary="Conversations, the last used first",
)
@needs("ask", keyed=True)
async def newest(engine: EngineOf, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> ConversationList:
    return ConversationList(tuple(await asyncio.to_thread(engine.rag.conversations.newest, limit)))


@router.get("/{id_}", responses=problems_of(404, 422, 503), summary="A conversation with its turns")
@needs("ask")
async def show(id_: str, engine: EngineOf) -> Transcript:
    return await asyncio.to_thread(engine.rag.conversations.transcript, id_)


@router.delete(
    "/{id_}", status_code=204, responses=problems_of(404, 422, 503), summary="Forget a conversation"
)
@needs("ask")
async def delete(id_: str, engine: EngineOf) -> None:
    await asyncio.to_thread(engine.rag.conversations.delete, id_)
