"""The REST paths of what is set for a collection: the time in which answers from it begin."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api import targets
from api.replies import Target
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import TargetRequest

router = APIRouter(prefix="/v1/target")


@router.get(
    "", responses=problems_of(404, 422, 503), summary="The time in which answers from a collection begin"
)
@needs("read")
async def show(engine: EngineOf, collection: Annotated[str, Query()] = "default") -> Target:
    return await asyncio.to_thread(targets.target, engine.rag, collection)


@router.put(
    "",
    responses=problems_of(403, 404, 422, 503),
    summary="Set it, or take it back",
)
@needs("write")
async def change(body: TargetRequest, engine: EngineOf, request: Request) -> Target:
    async with request.state.writing:  # not while the collection is removed
        return await asyncio.to_thread(targets.set_target, engine.rag, body.collection, body.target_ttft_ms)
