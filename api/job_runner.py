"""Runs the jobs of a data folder one after the other, beside the service."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress

from ingest.jobs import Job, Jobs
from ingest.pipeline import Event, stepwise
from ingest.report import FileResult, Found, Progress
from ingest.run import Run
from rag.correlation import Correlation, correlated
from rag.errors import RagError, StoreUnavailable

log = logging.getLogger(__name__)

PROGRESS_S = 0.5  # seconds between two notes of where a job is
AGAIN_S = 5.0  # seconds, after which a queue that failed is tried again


class JobRunner:
    """``start`` begins a run of ingestion; ``writing`` is held while one is at work: one writer at a time.
    ``changed`` is told that one has ended, ``told`` what happened to each file, but for dry runs."""

    def __init__(
        self,
        jobs: Jobs,
        start: Callable[[Run], Iterator[Event]],
        writing: asyncio.Lock,
        changed: Callable[[], None] = lambda: None,
        told: Callable[[FileResult], None] = lambda _: None,
    ) -> None:
        self.jobs = jobs
        self._told = told
        self._changed = changed
        self._start = start
        self._writing = writing
        self._wake = asyncio.Event()
        self._wake.set()  # there may be jobs from before
        self._noted = 0.0
        # A job that the queue does not know to have ended.
        self._over: tuple[Job, RagError | None] | None = None

    def wake(self) -> None:
        """A job has been queued."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled; the job at hand is then put back, to be taken up by the next process."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._tried():
                pass

    async def _tried(self) -> bool:
        """Whether there may be more to do. What keeps the queue itself from being read or written, a full disk, is
        waited for: jobs are taken in meanwhile, and somebody has to do them."""
        try:
            await self._end()
            return await self._next()
        except Exception:
            log.exception("the queue of jobs fails; it is tried again in %g s", AGAIN_S)
            await asyncio.sleep(AGAIN_S)
            return True

    async def _next(self) -> bool:
        async with self._writing:
            job = await asyncio.to_thread(self.jobs.begin)
            if job is not None:
                with correlated(Correlation(job.request)):
                    await self._do(job)
        return job is not None

    async def _do(self, job: Job) -> None:
        log.info("job %s: %s into %s", job.id, ", ".join(job.run.paths), job.run.collection)
        error: RagError | None = None
        try:
            async with aclosing(stepwise(self._start(job.run))) as events:
                async for event in events:
                    if not await asyncio.to_thread(self._goes_on, job, event):
                        break
        except asyncio.CancelledError:
            # Else the next process finds it running, and takes it up all the same.
            with suppress(StoreUnavailable):
                self.jobs.put_back(job.id)
            raise
        except RagError as raised:
            error = raised
        except Exception:
            log.exception("job %s failed", job.id)
            error = RagError("An error that openbook did not expect.", "The service's log has the details.")
        self._over = job, error
        await self._end()

    async def _end(self) -> None:
        if self._over:
            job, error = self._over
            ended = await asyncio.to_thread(self.jobs.end, job.id, error)
            self._over = None
            log.info("job %s: %s %s", job.id, ended.state, ended.error or ended.counts)
            self._changed()

    def _goes_on(self, job: Job, event: Event) -> bool:
        """Notes the event; False where the job has been cancelled, be it asked for again by now."""
        if isinstance(event, Found):
            self.jobs.found(job.id, event.files, event.bytes)
        elif isinstance(event, FileResult):
            self.jobs.result(job.id, event)
            if not job.run.dry:
                self._told(event)
        elif isinstance(event, Progress) and time.monotonic() - self._noted >= PROGRESS_S:
            self._noted = time.monotonic()
            self.jobs.progress(job.id, event)
        return self.jobs.is_running(job.id)
