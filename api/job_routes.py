"""The REST paths of jobs: ask for one, follow it, cancel it, try it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from sse_starlette import EventSourceResponse

from api.job_runner import JobRunner
from api.routes import SSE, EngineOf, asked_for, event_of, owner_only, problems_of
from api.schemas import IngestRequest
from ingest.jobs import JobList, Jobs, JobView
from ingest.run import begin

router = APIRouter(prefix="/v1/jobs", dependencies=[Depends(owner_only)])

FOLLOW_S = 0.3  # seconds between two looks at a job that is followed


def runner_of(request: Request) -> JobRunner:
    return cast(JobRunner, request.state.runner)


RunnerOf = Annotated[JobRunner, Depends(runner_of)]


@router.post(
    "",
    status_code=202,
    responses=problems_of(403, 404, 409, 422, 503),
    summary="Ingest files as a job that survives restarts",
)
async def add(body: IngestRequest, engine: EngineOf, runner: RunnerOf, response: Response) -> JobView:
    asked = await asked_for(body)
    await asyncio.to_thread(begin, engine, asked)  # raises now what it would raise then
    job = await asyncio.to_thread(runner.jobs.add, asked)
    runner.wake()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobView(job)


@router.get("", responses=problems_of(403, 422), summary="Jobs, the newest first")
async def newest(runner: RunnerOf, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> JobList:
    return JobList(tuple(await asyncio.to_thread(runner.jobs.newest, limit)))


@router.get("/{id_}", responses=problems_of(403, 404, 422), summary="A job and what happened to its files")
async def show(
    id_: str, runner: RunnerOf, after: Annotated[int, Query(ge=0, description="Results to leave out.")] = 0
) -> JobView:
    return await asyncio.to_thread(runner.jobs.view, id_, after)


@router.get(
    "/{id_}/events",
    response_class=EventSourceResponse,
    responses={200: SSE, **problems_of(403, 404, 422)},
    summary="A job as server-sent events: file (many), progress (many), and job when it has ended",
)
async def follow(id_: str, runner: RunnerOf) -> EventSourceResponse:
    await asyncio.to_thread(runner.jobs.get, id_)  # an unknown one has its own status
    return EventSourceResponse(_events(runner.jobs, id_))


@router.post("/{id_}/cancel", responses=problems_of(403, 404, 422), summary="End a job; what is done stays")
async def cancel(id_: str, runner: RunnerOf) -> JobView:
    return JobView(await asyncio.to_thread(runner.jobs.cancel, id_))


@router.post(
    "/{id_}/retry",
    responses=problems_of(403, 404, 422),
    summary="Do an ended job again, failed files included",
)
async def retry(id_: str, runner: RunnerOf) -> JobView:
    job = await asyncio.to_thread(runner.jobs.retry, id_)
    runner.wake()
    return JobView(job)


async def _events(jobs: Jobs, id_: str) -> AsyncIterator[dict[str, str]]:
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
        await asyncio.sleep(FOLLOW_S)
