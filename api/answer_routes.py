"""The REST paths of past answers: who knows the id of one may read it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import etags
from api.etags import NOT_MODIFIED, IfNoneMatch
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import Text
from rag.answers import AnswerPage, KeptAnswer

router = APIRouter(prefix="/v1/answers")

Id = Annotated[
    Text, Path(max_length=100, description="The id of the answer, as the reply to the question had it.")
]


@router.get(
    "",
    responses=problems_of(403, 422, 503),
    summary="Past answers, the newest first",
)
@needs("ask", keyed=True)
async def listed(
    engine: EngineOf,
    collection: Annotated[Text, Query(description="Only those that were asked of it.")] = "",
    offset: Annotated[int, Query(ge=0, le=100_000_000, description="Answers to leave out.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> AnswerPage:
    return await asyncio.to_thread(engine.rag.answers.newest, collection, offset, limit)


@router.get(
    "/{id_}",
    response_model=KeptAnswer,
    responses=NOT_MODIFIED | problems_of(404, 422, 503),
    summary="A past answer with its citations and its receipt",
)
@needs("ask")
async def show(id_: Id, engine: EngineOf, if_none_match: IfNoneMatch = "") -> Response:
    return etags.tagged(await asyncio.to_thread(engine.rag.answers.get, id_), if_none_match)


@router.delete(
    "/{id_}",
    status_code=204,
    responses=problems_of(403, 404, 422, 503),
    summary="Forget a past answer",
)
@needs("ask", keyed=True)
async def delete(id_: Id, engine: EngineOf) -> None:
    await asyncio.to_thread(engine.rag.answers.delete, id_)
