"""The REST paths of conversations: who knows the id of one may read it, go on with it and delete it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.replies import ConversationList
from api.routes import EngineOf, owner_only, problems_of
from api.schemas import ConversationRequest
from rag.conversations import Summary, Transcript

router = APIRouter(prefix="/v1/conversations")


@router.post(
    "", status_code=201, responses=problems_of(422, 503), summary="Begin a conversation; send {} as the body"
)
async def create(_body: ConversationRequest, engine: EngineOf, response: Response) -> Summary:
    made = await asyncio.to_thread(engine.rag.conversations.create)
    response.headers["Location"] = f"/v1/conversations/{made.id}"
    return made


@router.get(
    "",
    dependencies=[Depends(owner_only)],
    responses=problems_of(403, 422, 503),
    summary="Conversations, the last used first (the owner of the data folder only)",
)
async def newest(engine: EngineOf, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> ConversationList:
    return ConversationList(tuple(await asyncio.to_thread(engine.rag.conversations.newest, limit)))


@router.get("/{id_}", responses=problems_of(404, 422, 503), summary="A conversation with its turns")
async def show(id_: str, engine: EngineOf) -> Transcript:
    return await asyncio.to_thread(engine.rag.conversations.transcript, id_)


@router.delete(
    "/{id_}", status_code=204, responses=problems_of(404, 422, 503), summary="Forget a conversation"
)
async def delete(id_: str, engine: EngineOf) -> None:
    await asyncio.to_thread(engine.rag.conversations.delete, id_)
