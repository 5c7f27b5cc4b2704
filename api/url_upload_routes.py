"""The REST path of uploads that openbook fetches itself, where the owner allows it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from api.idempotency import ONCE, Once
from api.job_routes import RunnerOf
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import UrlUploadRequest
from api.upload_routes import accepted, check_size
from ingest.jobs import JobView
from ingest.run import Run, begin
from ingest.steps import to_end
from ingest.uploads import Incoming, Uploads
from ingest.web_file import Web, WebFile
from rag.errors import UrlNotAllowed

router = APIRouter(route_class=Once)


@router.post(
    "/v1/uploads/url",
    status_code=202,
    response_model=JobView,
    dependencies=[ONCE],
    responses=problems_of(403, 404, 409, 413, 422, 502, 503, 507),
    summary="Fetch a file from the web and ingest it as a job; off unless OPENBOOK_URL_UPLOADS is set",
)
@needs("write")
async def upload_url(
    body: UrlUploadRequest, engine: EngineOf, runner: RunnerOf, request: Request
) -> Response:
    web: Web | None = request.state.web
    if web is None:
        raise UrlNotAllowed(
            "Uploads by URL are off.", "The owner turns them on with OPENBOOK_URL_UPLOADS=true."
        )
    await asyncio.to_thread(begin, engine, Run(body.collection, ()))  # raises now what it would raise then
    uploads: Uploads = request.state.uploads
    async with web.opened(body.url) as file:
        incoming = await asyncio.to_thread(uploads.begin, body.collection)
        try:
            await _received(file, body.name or file.name, incoming, request.state.max_upload_bytes)
            return await accepted(request, runner, incoming)
        finally:
            await asyncio.to_thread(incoming.discard)


async def _received(file: WebFile, name: str, incoming: Incoming, limit: int) -> None:
    check_size(file.size or 0, limit)
    await to_end(incoming.begin_file, name)
    received = 0
    async for chunk in file.chunks:
        received += len(chunk)
        check_size(received, limit)
        await to_end(incoming.write, chunk)
    await to_end(incoming.end_file)
