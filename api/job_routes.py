"""The REST paths of jobs: ask for one, follow it, cancel it, try it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from sse_starlette import EventSourceResponse

from api.folders import allowed, asked_for
from api.idempotency import ONCE, Once
from api.job_runner import JobRunner
from api.routes import SSE, EngineOf, error_event, event_of, problems_of
from api.rules import CallerOf, needs
from api.schemas import IngestRequest
from ingest.jobs import JobList, Jobs, JobView
from ingest.run import begin
from rag.errors import JobNotFound, ServiceStopping
from rag.stopping import Stopping

router = APIRouter(route_class=Once, prefix="/v1/jobs")

FOLLOW_S = 0.3  # seconds between two looks at a job that is followed


async def runner_of(request: Request) -> JobRunner:
    return cast(JobRunner, request.state.runner)


RunnerOf = Annotated[JobRunner, Depends(runner_of)]


async def job_of(id_: str, runner: RunnerOf, caller: CallerOf) -> str:
    """The id of a job of a collection that there is for the caller. Raises JobNotFound."""
    job = await asyncio.to_thread(runner.jobs.get, id_)
    if not caller.sees(job.run.collection):
        raise JobNotFound.of(id_)
    return id_


JobId = Annotated[str, Depends(job_of)]


@router.post(
    "",
    dependencies=[ONCE],
    status_code=202,
    responses=problems_of(403, 404, 409, 422, 503),
    summary="Ingest files as a job that survives restarts",
)
@needs("admin")
async def add(
    body: IngestRequest,
    engine: EngineOf,
    caller: CallerOf,
    runner: RunnerOf,
    request: Request,
    response: Response,
) -> JobView:
    asked = await asked_for(body, allowed(caller, request))
    await asyncio.to_thread(begin, engine, asked)  # raises now what it would raise then
    job = await asyncio.to_thread(runner.jobs.add, asked)
    runner.wake()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobView(job)


@router.get("", responses=problems_of(403, 422), summary="Jobs, the newest first")
@needs("write")
async def newest(
    runner: RunnerOf, caller: CallerOf, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> JobList:
    return JobList(tuple(await asyncio.to_thread(runner.jobs.newest, limit, caller.sees)))


@router.get("/{id_}", responses=problems_of(403, 404, 422), summary="A job and what happened to its files")
@needs("write")
async def show(
    id_: JobId, runner: RunnerOf, after: Annotated[int, Query(ge=0, description="Results to leave out.")] = 0
) -> JobView:
    return await asyncio.to_thread(runner.jobs.view, id_, after)


@router.get(
    "/{id_}/events",
    response_class=EventSourceResponse,
    responses={200: SSE, **problems_of(403, 404, 422)},
    summary="A job as server-sent events: file (many), progress (many), and job when it has ended",
)
@needs("write")
async def follow(id_: JobId, runner: RunnerOf, engine: EngineOf) -> EventSourceResponse:
    return EventSourceResponse(_events(runner.jobs, id_, engine.rag.stopping))


@router.post(
    "/{id_}/cancel",
    dependencies=[ONCE],
    responses=problems_of(403, 404, 409, 422),
    summary="End a job; what is done stays",
)
@needs("write")
async def cancel(id_: JobId, runner: RunnerOf) -> JobView:
    return JobView(await asyncio.to_thread(runner.jobs.cancel, id_))


@router.post(
    "/{id_}/retry",
    dependencies=[ONCE],
    responses=problems_of(403, 404, 409, 422),
    summary="Do an ended job again, failed files included",
)
@needs("write")
async def retry(id_: JobId, runner: RunnerOf) -> JobView:
    job = await asyncio.to_thread(runner.jobs.retry, id_)
    runner.wake()
    return JobView(job)


async def _events(jobs: Jobs, id_: str, stopping: Stopping) -> AsyncIterator[dict[str, str]]:
    told, last = 0, None
    while True:
        now = await asyncio.to_thread(jobs.view, id_, told)
        for file in now.files:
            yield event_of("file", file)
        told += len(now.files)
        if now.job.has_ended:
            yield event_of("job", replace(now, files=()))
            return
        if now.job != last:
            last = now.job
            yield event_of("progress", replace(now, files=()))
        if stopping.begun:  # the job goes on when the service is back
            yield error_event(ServiceStopping.of())
            return
        await asyncio.sleep(FOLLOW_S)
