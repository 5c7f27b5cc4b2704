"""The REST path that brings a collection's repositories to their present commit, or to another."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Request, Response

from api.folders import allowed, check_paths
from api.idempotency import ONCE, Once
from api.job_routes import RunnerOf
from api.routes import EngineOf, problems_of
from api.rules import CallerOf, needs
from api.schemas import RefreshRequest
from ingest.jobs import JobView
from ingest.run import Run, begin, with_paths

router = APIRouter(route_class=Once)


@router.post(
    "/v1/collections/{name}/refresh",
    status_code=202,
    dependencies=[ONCE],
    responses=problems_of(403, 404, 409, 422, 503),
    summary="Refresh a collection from its repositories, as a job",
)
@needs("admin")
async def refresh(
    name: str,
    body: RefreshRequest,
    engine: EngineOf,
    caller: CallerOf,
    runner: RunnerOf,
    request: Request,
    response: Response,
) -> JobView:
    within = allowed(caller, request)
    asked = await asyncio.to_thread(
        with_paths, engine, Run(name, (), ref=body.ref, refresh=True, within=within)
    )
    await asyncio.to_thread(check_paths, [Path(path) for path in asked.paths], within)
    await asyncio.to_thread(begin, engine, asked)  # raises now what it would raise then
    job = await asyncio.to_thread(runner.jobs.add, asked)
    runner.wake()
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return JobView(job)
