"""The REST paths of a collection's documents: list them by the page, describe, replace and delete one, get its file."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.requests import ClientDisconnect

from api import documents, etags
from api.etags import NOT_MODIFIED, IfMatch, IfNoneMatch
from api.job_routes import RunnerOf
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import Text
from api.upload_routes import accepted, check_size, counted
from ingest import catalog
from ingest.jobs import JobView
from ingest.listed import DocumentPage, Sort, Wanted, page
from ingest.report import Removal
from ingest.run import Run, begin
from ingest.steps import to_end
from ingest.uploads import Uploads
from rag.answer import Rag
from rag.reading import read
from rag.types import Document

router = APIRouter(prefix="/v1/collections/{collection}/documents")

_BYTES: dict[str, Any] = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
_FILE = {"requestBody": {"required": True, "content": {"application/octet-stream": _BYTES}}}
_RANGE = {
    206: {"description": "The part of it that was asked for", "content": {"application/octet-stream": _BYTES}}
}


async def _wanted(
    name: Annotated[Text, Query(max_length=1000, description="Part of the name or title, or a glob.")] = "",
    media_type: Annotated[Text, Query(max_length=200, description="application/pdf, image/*")] = "",
    language: Annotated[Text, Query(max_length=8, description="ISO 639-1: en")] = "",
    code: Annotated[Text, Query(max_length=40, description="A programming language, or * for any.")] = "",
    modified_since: Annotated[datetime | None, Query(description="2026-01-31, or with a time.")] = None,
) -> Wanted:
    return Wanted(name, media_type, language, code, modified_since)


@router.get(
    "",
    response_model=DocumentPage,
    responses=NOT_MODIFIED | problems_of(404, 409, 422, 503),
    summary="Documents of a collection, a page at a time",
)
@needs("read")
async def listed(
    collection: str,
    engine: EngineOf,
    wanted: Annotated[Wanted, Depends(_wanted)],
    sort: Annotated[Sort, Query(description="- turns it round.")] = "source",
    offset: Annotated[int, Query(ge=0, le=100_000_000, description="Documents to leave out.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    if_none_match: IfNoneMatch = "",
) -> Response:
    def asked() -> Response:
        found = read(engine.rag.store, [collection], lambda index: index.documents())
        return etags.tagged(page(collection, found, wanted, sort, offset, limit), if_none_match)

    return await asyncio.to_thread(asked)


@router.get(
    "/{id_}",
    response_model=Document,
    responses=NOT_MODIFIED | problems_of(404, 409, 422, 503),
    summary="A document's record in the catalog",
)
@needs("read")
async def show(collection: str, id_: str, engine: EngineOf, if_none_match: IfNoneMatch = "") -> Response:
    found = await asyncio.to_thread(documents.document, engine.rag, collection, id_)
    return etags.tagged(found, if_none_match)


@router.get(
    "/{id_}/original",
    response_class=FileResponse,
    responses=_RANGE | NOT_MODIFIED | problems_of(404, 409, 422, 503),
    summary="The file that a document was read from, while it is the same; takes Range",
)
@needs("read")
async def original(
    collection: str,
    id_: str,
    engine: EngineOf,
    disposition: Annotated[
        Literal["attachment", "inline"], Query(description="inline: PDFs, images and plain text alone.")
    ] = "attachment",
    if_none_match: IfNoneMatch = "",
) -> Response:
    def file(rag: Rag) -> Response:
        found = documents.document(rag, collection, id_)
        reply = documents.original_of(found, inline=disposition == "inline")
        if etags.is_known(if_none_match, reply.headers["ETag"]):
            return Response(status_code=304, headers={"ETag": reply.headers["ETag"]})
        return reply

    return await asyncio.to_thread(file, engine.rag)


@router.delete(
    "/{id_}",
    responses=problems_of(403, 404, 409, 412, 422, 503),
    summary="Remove a document, and its file if it was uploaded",
)
@needs("write")
async def delete(
    collection: str, id_: str, engine: EngineOf, request: Request, if_match: IfMatch = ""
) -> Removal:
    def deleted(rag: Rag) -> Removal:
        found = documents.document(rag, collection, id_)
        etags.check(f"Document {found.name!r}", found, if_match)
        uploads, settings = request.state.uploads, rag.collection_settings
        documents.check_as_read(uploads, found, if_match)
        return catalog.removed(rag.store, uploads, settings, collection, [found.id], Path("/"))

    async with request.state.writing:
        removal = await asyncio.to_thread(deleted, engine.rag)
    request.state.warmer.wake()
    return removal


@router.put(
    "/{id_}",
    status_code=202,
    response_model=JobView,
    responses=problems_of(403, 404, 409, 412, 413, 422, 503, 507),
    openapi_extra=_FILE,
    summary="Replace an uploaded file by the bytes of the body, which are ingested as a job",
)
@needs("write")
async def replace(
    collection: str,
    id_: str,
    engine: EngineOf,
    runner: RunnerOf,
    request: Request,
    content_length: Annotated[int, Header(include_in_schema=False)] = 0,
    if_match: IfMatch = "",
) -> Response:
    uploads: Uploads = request.state.uploads
    limit: int = request.state.max_upload_bytes

    def sent_as() -> str:
        found = documents.document(engine.rag, collection, id_)
        etags.check(f"Document {found.name!r}", found, if_match)
        begin(engine, Run(collection, ()))  # raises now what it would raise then
        sent = documents.sent_as(uploads, found)
        documents.check_as_read(uploads, found, if_match)
        return sent.name.partition("/")[2]

    check_size(content_length, limit)
    name = await asyncio.to_thread(sent_as)
    incoming = await asyncio.to_thread(uploads.begin, collection)
    try:
        await to_end(incoming.begin_file, name)
        async for chunk in counted(request, limit):
            await to_end(incoming.write, chunk)
        await to_end(incoming.end_file)
        # Others may have written while the body came.
        return await accepted(request, runner, incoming, sent_as)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody reads it but the log
    finally:
        await asyncio.to_thread(incoming.discard)
