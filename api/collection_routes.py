"""The REST paths of collections: list, create, describe, change, rename, delete."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response

from api import collections, etags
from api.collections import CollectionList, CollectionView
from api.etags import NOT_MODIFIED, IfMatch, IfNoneMatch
from api.idempotency import ONCE, Once
from api.job_routes import RunnerOf
from api.routes import EngineOf, problems_of
from api.rules import CallerOf, needs
from api.schemas import CollectionChange, CollectionRequest
from ingest import catalog
from ingest.pinning import meant
from ingest.renaming import renamed
from ingest.report import Removal
from ingest.uploads import Uploads
from rag.answer import Rag
from rag.collection_settings import TARGET_TTFT_MS

router = APIRouter(route_class=Once, prefix="/v1/collections")

_CONFIRM: dict[int | str, dict[str, Any]] = {
    428: {
        "description": "What would be lost, and the token that confirms it",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/ConfirmationProblem"}}
        },
    }
}


@router.get(
    "",
    response_model=CollectionList,
    responses=NOT_MODIFIED | problems_of(422, 503),
    summary="Collections, by name",
)
@needs("read")
async def listed(engine: EngineOf, if_none_match: IfNoneMatch = "") -> Response:
    return etags.tagged(await asyncio.to_thread(collections.listed, engine.rag), if_none_match)


@router.post(
    "",
    status_code=201,
    response_model=CollectionView,
    dependencies=[ONCE],
    responses=problems_of(403, 409, 422, 503),
    summary="Make an empty collection",
)
@needs("write")
async def create(body: CollectionRequest, engine: EngineOf, request: Request) -> Response:
    async with request.state.writing:
        made = await asyncio.to_thread(collections.created, engine.rag, body.collection)
    response = etags.tagged(made, status=201)
    response.headers["Location"] = f"/v1/collections/{made.collection}"
    return response


@router.get(
    "/{collection}",
    response_model=CollectionView,
    responses=NOT_MODIFIED | problems_of(404, 422, 503),
    summary="A collection: its size and what is set for it",
)
@needs("read")
async def show(collection: str, engine: EngineOf, if_none_match: IfNoneMatch = "") -> Response:
    return etags.tagged(await asyncio.to_thread(collections.shown, engine.rag, collection), if_none_match)


@router.patch(
    "/{collection}",
    response_model=CollectionView,
    responses=problems_of(403, 404, 409, 412, 422, 503),
    summary="Change what is set for a collection, or its name",
)
@needs("write")
async def change(
    collection: str,
    body: CollectionChange,
    engine: EngineOf,
    caller: CallerOf,
    runner: RunnerOf,
    request: Request,
    if_match: IfMatch = "",
) -> Response:
    caller.check([body.name or collection])

    def changed(rag: Rag) -> CollectionView:
        before, name = collections.shown(rag, collection), body.name or collection
        etags.check(f"Collection {collection!r}", before, if_match)
        pinned = meant(rag.store, collection, body.pinned or (), Path("/"))  # raises before anything is done
        if name != collection:
            renamed(request.state.engine.rag, request.state.uploads, runner.jobs, collection, name)
        if "target_ttft_ms" in body.model_fields_set:
            rag.collection_settings.set(name, TARGET_TTFT_MS, body.target_ttft_ms)
        if "pinned" in body.model_fields_set:
            rag.pins.replace(name, pinned)
        return collections.shown(rag, name)

    async with request.state.writing:
        view = await asyncio.to_thread(changed, engine.rag)
    request.state.warmer.wake()
    return etags.tagged(view)


@router.delete(
    "/{collection}",
    responses=problems_of(403, 404, 412, 422, 503) | _CONFIRM,
    summary="Delete a collection and what it was sent, in two requests: the first one tells what would be lost",
)
@needs("write")
async def delete(
    collection: str,
    engine: EngineOf,
    request: Request,
    confirm: Annotated[str, Query(max_length=100, description="The token of the first reply.")] = "",
    if_match: IfMatch = "",
) -> Removal:
    uploads = cast(Uploads, request.state.uploads)

    def deleted(rag: Rag) -> Removal:
        view = collections.shown(rag, collection)
        etags.check(f"Collection {collection!r}", view, if_match)
        secret = engine.owner.record.token
        collections.check_confirmed(view, len(uploads.sent(collection)), confirm, secret)
        settings = rag.collection_settings
        return catalog.removed(rag.store, uploads, settings, collection, (), Path("/"), everything=True)

    async with request.state.writing:
        removal = await asyncio.to_thread(deleted, engine.rag)
    request.state.warmer.wake()
    return removal
