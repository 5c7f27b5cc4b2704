"""Jobs outlive the process: what was asked for is done once, and what ends the process is given up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ingest.jobs import MAX_ATTEMPTS, Job, Jobs
from ingest.report import FileResult, Progress
from ingest.run import Run
from rag.errors import BadRequest, JobNotFound, SourceMissing, StoreUnavailable

ASKED = Run("c", ("/files",), prune=True, changed=("/files/a.md",))
GOOD = FileResult("files/a.md", "file:///files/a.md", "added", passages=3, tokens=99)
BAD = FileResult("files/b.pdf", "file:///files/b.pdf", "failed", reason="It is broken.")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "jobs.db"


@pytest.fixture
def jobs(path: Path) -> Iterator[Jobs]:
    jobs = Jobs(path)
    yield jobs
    jobs.close()


def restarted(jobs: Jobs, path: Path) -> Jobs:
    """As after a kill: the old one is not closed."""
    return Jobs(path)


def test_from_asking_to_done(jobs: Jobs) -> None:
    asked = jobs.add(ASKED)
    assert (asked.state, asked.run, asked.attempts) == ("queued", ASKED, 0)
    job = jobs.begin()
    assert job is not None
    assert (job.id, job.state, job.attempts) == (asked.id, "running", 1)
    assert jobs.begin() is None
    jobs.found(job.id, 2, 1000)
    jobs.progress(job.id, Progress("files/a.md", "parse", 0, 0))
    assert jobs.get(job.id).now == "parse files/a.md"
    jobs.result(job.id, GOOD)
    jobs.progress(job.id, Progress("files/b.pdf", "parse", 1, 400))
    running = jobs.get(job.id)
    assert (running.files, running.files_done, running.bytes, running.bytes_done) == (2, 1, 1000, 400)
    began = datetime.fromisoformat(running.started_at)
    assert running.left_s(began + timedelta(seconds=8)) == pytest.approx(12)
    jobs.result(job.id, BAD)
    done = jobs.end(job.id)
    assert (done.state, done.counts, done.now, done.has_ended) == (
        "done",
        {"added": 1, "failed": 1},
        "",
        True,
    )
    assert done.left_s(began) is None
    assert jobs.results(job.id) == [GOOD, BAD]
    assert jobs.results(job.id, after=1) == [BAD]


def test_asked_for_twice_by_one_id_it_is_one_job(jobs: Jobs) -> None:
    first = jobs.add(ASKED, "one")
    jobs.begin()
    assert jobs.add(ASKED, "one").state == "running"
    assert [view.job.id for view in jobs.newest()] == [first.id] == ["one"]


def test_the_oldest_first_and_the_newest_shown_first(jobs: Jobs) -> None:
    asked = [jobs.add(Run(str(n), ("/x",))) for n in range(3)]
    begun = [jobs.begin() for _ in asked]
    assert [job and job.id for job in begun] == [job.id for job in asked]
    assert [view.job.id for view in jobs.newest(2)] == [asked[2].id, asked[1].id]


def test_a_job_that_ran_when_the_process_was_killed_is_queued_again(jobs: Jobs, path: Path) -> None:
    asked = jobs.add(ASKED)
    jobs.begin()
    jobs.result(asked.id, GOOD)
    again = restarted(jobs, path)
    assert again.get(asked.id).state == "queued"
    job = again.begin()
    assert job is not None
    assert (job.attempts, job.files_done, job.counts, again.results(job.id)) == (2, 0, {}, [])
    again.close()


def test_a_job_that_ends_the_process_each_time_is_given_up(jobs: Jobs, path: Path) -> None:
    asked = jobs.add(ASKED)
    for _ in range(MAX_ATTEMPTS):
        jobs.begin()
        jobs.progress(asked.id, Progress("files/b.pdf", "parse", 0, 0))
        jobs = restarted(jobs, path)
    failed = jobs.get(asked.id)
    assert failed.state == "failed"
    assert failed.error == "The service ended 3 times during this job, last at 'parse files/b.pdf'."
    assert f"openbook jobs {asked.id} --retry" in failed.hint
    assert jobs.begin() is None
    jobs.close()


def test_a_stop_in_order_does_not_count(jobs: Jobs, path: Path) -> None:
    asked = jobs.add(ASKED)
    for _ in range(MAX_ATTEMPTS + 1):
        assert jobs.begin()
        jobs.put_back(asked.id)
        jobs = restarted(jobs, path)
    assert (jobs.get(asked.id).state, jobs.get(asked.id).attempts) == ("queued", 0)
    jobs.close()


def test_cancelled_before_and_while_it_runs(jobs: Jobs) -> None:
    first, second = jobs.add(ASKED), jobs.add(ASKED)
    jobs.begin()
    assert jobs.cancel(second.id).state == jobs.cancel(first.id).state == "cancelled"
    assert jobs.begin() is None
    jobs.put_back(first.id)
    assert jobs.end(first.id).state == "cancelled"
    with pytest.raises(BadRequest, match="cancelled already"):
        jobs.cancel(first.id)


def test_failed_as_a_whole_then_tried_again(jobs: Jobs) -> None:
    asked = jobs.add(ASKED)
    with pytest.raises(BadRequest, match="is queued"):
        jobs.retry(asked.id)
    jobs.begin()
    jobs.result(asked.id, BAD)
    failed = jobs.end(asked.id, SourceMissing("/files does not exist.", "Check the path."))
    assert (failed.state, failed.error, failed.hint) == (
        "failed",
        "/files does not exist.",
        "Check the path.",
    )
    again = jobs.retry(asked.id)
    assert (again.state, again.run) == ("queued", replace(ASKED, retry=True))  # failed files included
    assert (again.error, again.counts, jobs.results(asked.id)) == ("", {}, [])
    assert jobs.begin()


def test_unknown_jobs_are_named(jobs: Jobs) -> None:
    for call in (jobs.get, jobs.cancel, jobs.retry):
        with pytest.raises(JobNotFound, match="'nope'"):
            call("nope")


def test_old_ended_jobs_are_forgotten_and_waiting_ones_are_not(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.jobs.KEPT", 5)
    waiting: Job = jobs.add(ASKED)
    for _ in range(9):
        ended = jobs.add(ASKED)
        jobs.cancel(ended.id)
    jobs.add(ASKED)
    kept = [view.job.id for view in jobs.newest()]
    assert waiting.id in kept
    assert len(kept) == 6


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(StoreUnavailable, match=r"jobs\.db cannot be read"):
        Jobs(path)
