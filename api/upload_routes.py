"""The REST path that takes files: what comes is stored, and ingested as a job."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.requests import ClientDisconnect

from api.job_routes import RunnerOf
from api.multipart import FIELD, FileParts
from api.routes import EngineOf, owner_only, problems_of
from ingest.jobs import Job, JobView
from ingest.run import Run, begin
from ingest.steps import to_end
from ingest.uploads import Incoming, Uploads
from rag.errors import UploadTooLarge

PATH = "/v1/uploads"

router = APIRouter(dependencies=[Depends(owner_only)])

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
async def upload(
    request: Request,
    engine: EngineOf,
    runner: RunnerOf,
    response: Response,
    collection: Annotated[str, Query()] = "default",
    content_length: Annotated[int, Header(include_in_schema=False)] = 0,
) -> JobView | Response:
    await asyncio.to_thread(begin, engine, Run(collection, ()))  # raises now what it would raise then
    uploads: Uploads = request.state.uploads
    limit: int = request.state.max_upload_bytes
    _check_size(content_length, limit)
    incoming = await asyncio.to_thread(uploads.begin, collection)
    try:
        await _received(request, incoming, limit)
        job: Job = await to_end(uploads.accept, incoming, runner.jobs)
    except ClientDisconnect:
        return Response(status_code=499)  # nobody reads it but the log
    finally:
        await asyncio.to_thread(incoming.discard)
    runner.wake()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobView(job)


async def _received(request: Request, incoming: Incoming, limit: int) -> None:
    parts = FileParts(request.headers.get("content-type", ""), incoming)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        _check_size(received, limit)
        await to_end(parts.write, chunk)
    parts.close()


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise UploadTooLarge(
            f"The files of one request may have {limit:,} bytes together, with what is around them.",
            "Send them in several requests, or raise OPENBOOK_MAX_UPLOAD_BYTES.",
        )
