"""Ingest jobs that outlive the process: asked for once, done even if the service is stopped or killed meanwhile.

An ingest can be repeated at no cost for what is done (content hashes), so a durable job needs no checkpoint of
its own: a row that says what to do, and results as they come. A job that ran when the process ended is queued
again when the next one opens the file, unless it has ended so several times: then it is what ends it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ingest.report import FileResult, Progress
from ingest.run import Run
from rag.correlation import current
from rag.database import Database
from rag.errors import BadRequest, JobNotFound, RagError

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")
MAX_ATTEMPTS = 3  # of a job during which the process ended
Sees = Callable[[str], bool]  # whether there is a collection for somebody
KEPT = 1000  # ended jobs; older ones are forgotten

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    job TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS results (
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (job, number)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Job:
    """``counts`` are files by status; ``now`` is the file at hand and its stage. Times are ISO 8601, UTC."""

    id: str
    run: Run
    state: State = "queued"
    created_at: str = ""
    started_at: str = ""
    ended_at: str = ""
    attempts: int = 0
    files: int | None = None
    bytes: int | None = None
    files_done: int = 0
    bytes_done: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    now: str = ""
    error: str = ""
    hint: str = ""
    request: str = ""  # the id of the request that asked for it

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    def left_s(self, at: datetime) -> float | None:
        """Seconds that the rest will take at the rate so far, by bytes; None while that is not known."""
        if self.state != "running" or not self.bytes_done or not self.bytes:
            return None
        passed = (at - datetime.fromisoformat(self.started_at)).total_seconds()
        return passed * max(0, self.bytes - self.bytes_done) / self.bytes_done


@dataclass(frozen=True, slots=True)
class JobView:
    """A job for who looks at it. ``left_s``: seconds that the rest will take at the rate so far, None while that
    is not known. ``files``: what happened to each so far, in order, where that was asked for."""

    job: Job
    left_s: float | None = None
    files: tuple[FileResult, ...] = ()


@dataclass(frozen=True, slots=True)
class JobList:
    jobs: tuple[JobView, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """A job that runs or waits, without the names of its files, which are for the data folder's owner."""

    id: str
    state: State
    collection: str
    files_done: int
    files: int | None
    left_s: float | None


class Jobs:
    """All jobs of one data folder, whose owner opens this. Safe to use from threads."""

    def __init__(self, path: Path) -> None:
        # What a power cut loses is done again, but for what was asked for.
        self._database = Database(path, _TABLES, "jobs", synced=False)
        self._lock = self._database.lock
        self._recover()

    def add(self, run: Run, id_: str | None = None) -> Job:
        """Also a power cut does not undo it. With the ``id_`` of a job that there is already, it is that one."""
        job = Job(id_ or new_id(), run, created_at=_now(), request=current().request)
        with self._database.synced(), self._database.writing() as database:
            database.execute(
                "INSERT OR IGNORE INTO jobs (id, state, job) VALUES (?, ?, ?)",
                (job.id, job.state, _dumped(job)),
            )
            database.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND number <= "
                "(SELECT MAX(number) FROM jobs) - ?",
                (KEPT,),
            )
        return self.get(job.id)

    def get(self, id_: str) -> Job:
        rows = self._rows("SELECT job FROM jobs WHERE id = ?", id_)
        if not rows:
            raise JobNotFound.of(id_)
        return _loaded(rows[0][0])

    def view(self, id_: str, after: int = 0) -> JobView:
        """With its results but for the first ``after``."""
        with self._lock:
            return replace(_view(self.get(id_)), files=tuple(self.results(id_, after)))

    def newest(self, limit: int = 50, sees: Sees = lambda _: True) -> list[JobView]:
        """Of the collections that somebody ``sees``."""
        rows = self._rows("SELECT id, json_extract(job, '$.run.collection') FROM jobs ORDER BY number DESC")
        seen = [id_ for id_, collection in rows if sees(collection)]
        return [_view(self.get(id_)) for id_ in seen[:limit]]

    def by_state(self) -> dict[State, int]:
        """How many there are."""
        return dict(self._rows("SELECT state, COUNT(*) FROM jobs GROUP BY state"))

    def pending(self, sees: Sees = lambda _: True) -> list[Pending]:
        """Those that run or wait, in the order in which they are done, of the collections that somebody ``sees``."""
        rows = self._rows(
            "SELECT job FROM jobs WHERE state IN ('running', 'queued') ORDER BY state DESC, number"
        )
        now = datetime.now(UTC)
        return [
            Pending(job.id, job.state, job.run.collection, job.files_done, job.files, job.left_s(now))
            for job in (_loaded(row[0]) for row in rows)
            if sees(job.run.collection)
        ]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile no job is queued, begins or ends, but by this thread."""
        with self._lock:
            yield

    def results(self, id_: str, after: int = 0) -> list[FileResult]:
        """In the order in which they came, without the first ``after``."""
        rows = self._rows(
            "SELECT result FROM results WHERE job = ? AND number > ? ORDER BY number", id_, after
        )
        return [FileResult(**json.loads(row[0])) for row in rows]

    def begin(self) -> Job | None:
        """The oldest that waits, which runs from now on."""
        with self._lock:
            rows = self._rows("SELECT job FROM jobs WHERE state = 'queued' ORDER BY number LIMIT 1")
            if not rows:
                return None
            job = _loaded(rows[0][0])
            self._clear(job.id)
            return self._change(
                job.id,
                state="running",
                started_at=_now(),
                attempts=job.attempts + 1,
                **_NOTHING_DONE,
            )

    # What comes of a run counts while its job is running: one that was cancelled meanwhile, and perhaps asked
    # for again, has nothing to do with it.

    def found(self, id_: str, files: int, bytes_: int) -> None:
        with self._lock:
            if self.is_running(id_):
                self._change(id_, files=files, bytes=bytes_)

    def progress(self, id_: str, progress: Progress) -> None:
        with self._lock:
            if self.is_running(id_):
                self._change(id_, now=f"{progress.stage} {progress.name}", bytes_done=progress.bytes_done)

    def result(self, id_: str, result: FileResult) -> None:
        with self._database.writing() as database:
            job = self.get(id_)
            if job.state != "running":
                return
            counts = job.counts | {result.status: job.counts.get(result.status, 0) + 1}
            self._change(id_, counts=counts, files_done=job.files_done + 1)
            database.execute(
                "INSERT INTO results VALUES (?, ?, ?)", (id_, job.files_done + 1, json.dumps(asdict(result)))
            )

    def end(self, id_: str, error: RagError | None = None) -> Job:
        """Done, or failed as a whole. A job that was cancelled meanwhile stays so, or queued again."""
        with self._lock:
            if (job := self.get(id_)).state != "running":
                return job
            if error:
                return self._change(
                    id_, state="failed", ended_at=_now(), now="", error=error.message, hint=error.hint
                )
            return self._change(id_, state="done", ended_at=_now(), now="")

    def is_running(self, id_: str) -> bool:
        # Asked at every event: the whole row may name a thousand files.
        return self._rows("SELECT state FROM jobs WHERE id = ?", id_) == [("running",)]

    def put_back(self, id_: str) -> None:
        """The process ends in order: the next one goes on, and this attempt does not count."""
        with self._lock:
            if (job := self.get(id_)).state == "running":
                self._change(id_, state="queued", attempts=job.attempts - 1)

    def cancel(self, id_: str) -> Job:
        """What is done stays. Raises JobNotFound, and BadRequest where it has ended."""
        with self._lock:
            job = self.get(id_)
            if job.has_ended:
                raise BadRequest(
                    f"Job {id_} is {job.state} already.", "Look at it with: openbook jobs " + id_
                )
            return self._change(id_, state="cancelled", ended_at=_now(), now="")

    def retry(self, id_: str) -> Job:
        """Queued again, failed files included; what is done is unchanged and costs nothing."""
        with self._lock:
            job = self.get(id_)
            if not job.has_ended:
                raise BadRequest(f"Job {id_} is {job.state}.", "Wait for it, or cancel it first.")
            self._clear(id_)
            run = replace(job.run, retry=True)
            return self._change(id_, state="queued", run=run, attempts=0, **_NOTHING_DONE)

    def close(self) -> None:
        self._database.close()

    def _recover(self) -> None:
        for row in self._rows("SELECT job FROM jobs WHERE state = 'running'"):
            job = _loaded(row[0])
            if job.attempts < MAX_ATTEMPTS:
                self._change(job.id, state="queued")
                continue
            at = f" at {job.now!r}" if job.now else ""
            self._change(
                job.id,
                state="failed",
                ended_at=_now(),
                error=f"The service ended {job.attempts} times during this job, last{at}.",
                hint=f"Look at its log; then: openbook jobs {job.id} --retry",
            )

    def _change(self, id_: str, **fields: Any) -> Job:
        with self._database.writing() as database:
            job = replace(self.get(id_), **fields)
            database.execute(
                "UPDATE jobs SET state = ?, job = ? WHERE id = ?", (job.state, _dumped(job), id_)
            )
        return job

    def _clear(self, id_: str) -> None:
        with self._database.writing() as database:
            database.execute("DELETE FROM results WHERE job = ?", (id_,))

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._database.rows(query, *values)


_NOTHING_DONE: dict[str, Any] = {
    "ended_at": "", "files": None, "bytes": None, "files_done": 0, "bytes_done": 0, "counts": {}, "now": "",
    "error": "", "hint": "",
}  # fmt: skip


def new_id() -> str:
    return uuid.uuid4().hex[:12]


def _view(job: Job) -> JobView:
    return JobView(job, job.left_s(datetime.now(UTC)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _dumped(job: Job) -> str:
    return json.dumps(asdict(job))


def _loaded(text: str) -> Job:
    fields = json.loads(text)
    run = fields.pop("run")
    lists = {name: tuple(value) for name, value in run.items() if isinstance(value, list)}
    return Job(run=Run(**run | lists), **fields)
