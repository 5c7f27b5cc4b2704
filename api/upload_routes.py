"""The REST path that takes files: what comes is stored, and ingested as a job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from api.idempotency import Key, Replies, digest, key_of
from api.job_routes import RunnerOf
from api.job_runner import JobRunner
from api.multipart import FIELD, FileParts
from api.routes import EngineOf, problems_of
from api.rules import needs
from ingest.jobs import Job, JobView
from ingest.run import Run, begin
from ingest.steps import to_end
from ingest.uploads import Incoming, Uploads
from rag import wire
from rag.errors import UploadTooLarge

PATH = "/v1/uploads"

router = APIRouter()

_FILE = {"type": "string", "contentMediaType": "application/octet-stream"}
_FORM = {"type": "object", "properties": {FIELD: {"type": "array", "items": _FILE}}, "required": [FIELD]}
BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
}


@router.post(
    PATH,
    status_code=202,
    response_model=JobView,
    responses=problems_of(403, 409, 413, 422, 503, 507),
    openapi_extra=BODY,
    summary="Send files, which are kept and ingested as a job that survives restarts",
)
@needs("write")
async def upload(
    request: Request,
    engine: EngineOf,
    runner: RunnerOf,
    key: Key,
    collection: Annotated[str, Query()] = "default",
    content_length: Annotated[int, Header(include_in_schema=False)] = 0,
) -> Response:
    await asyncio.to_thread(begin, engine, Run(collection, ()))  # raises now what it would raise then
    uploads: Uploads = request.state.uploads
    limit: int = request.state.max_upload_bytes
    check_size(content_length, limit)
    incoming = await asyncio.to_thread(uploads.begin, collection)
    try:
        await _received(request, incoming, limit)
        return await once_accepted(request, runner, incoming, key)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody reads it but the log
    finally:
        await asyncio.to_thread(incoming.discard)


async def once_accepted(request: Request, runner: JobRunner, incoming: Incoming, key: str | None) -> Response:
    """Once for each key, however the parts are divided."""
    accept = partial(accepted, request, runner, incoming)
    if key is None:
        return await accept()
    replies: Replies = request.state.replies
    return await replies.once(key_of(request, key), digest(request, incoming.digest), accept)


async def accepted(
    request: Request, runner: JobRunner, incoming: Incoming, check: Callable[[], object] = lambda: None
) -> Response:
    """The files are all there: from now on they count, unless ``check`` raises."""
    job: Job = await to_end(request.state.uploads.accept, incoming, runner.jobs, check)
    runner.wake()
    return JSONResponse(wire.dump(JobView(job)), 202, {"Location": f"/v1/jobs/{job.id}"})


async def _received(request: Request, incoming: Incoming, limit: int) -> None:
    parts = FileParts(request.headers.get("content-type", ""), incoming)
    async for chunk in counted(request, limit):
        await to_end(parts.write, chunk)
    parts.close()


async def counted(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises UploadTooLarge after ``limit`` bytes."""
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        check_size(received, limit)
        yield chunk


def check_size(size: int, limit: int) -> None:
    """Raises UploadTooLarge."""
    if size > limit:
        raise UploadTooLarge(
            f"The files of one request may have {limit:,} bytes together, with what is around them.",
            "Send them in several requests, or raise OPENBOOK_MAX_UPLOAD_BYTES.",
        )
