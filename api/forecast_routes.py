"""The REST path that tells how much a question would read in a time, before it is asked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.forecast import Forecast, forecast
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import TargetMs, Text

router = APIRouter()


@router.get(
    "/v1/plan",
    responses=problems_of(404, 409, 422, 502, 503),
    summary="How much a question would read within a time to the first token, and how sure that is",
)
@needs("read", "ask")
async def plan(
    engine: EngineOf,
    collection: Annotated[list[Text], Query(min_length=1, max_length=100)] = ["default"],  # noqa: B006 FastAPI copies it
    target_ttft_ms: Annotated[TargetMs | None, Query(description="By default as it is set.")] = None,
    model: Annotated[Text | None, Query(description="By default the one that answers.")] = None,
) -> Forecast:
    return await forecast(engine.rag, list(dict.fromkeys(collection)), target_ttft_ms, model)
