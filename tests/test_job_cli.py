"""openbook jobs, with and without a service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import openbook.cli
from ingest.jobs import Jobs
from ingest.report import FileResult, Progress
from ingest.run import Run

ASKED = Run("team", ("/files [red]",), prune=True)


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["openbook", *arguments])
        code: int | str | None = 0
        try:
            openbook.cli.main()
        except SystemExit as stopped:
            code = stopped.code
        return int(code or 0), *capsys.readouterr()

    return ran


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Of the data folder that the commands use; nobody owns it."""
    jobs = Jobs(tmp_path / "data" / "jobs.db")
    yield jobs
    jobs.close()


def test_none_yet(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("jobs")[:2] == (0, " job  state  collection  files  paths  asked\n0 jobs\n")
    code, out, _ = run("jobs", "--json")
    assert (code, json.loads(out)) == (0, {"jobs": []})


def test_listed_shown_cancelled_and_tried_again(run: Callable[..., tuple[int, str, str]], jobs: Jobs) -> None:
    id_ = jobs.add(ASKED).id
    code, out, _ = run("jobs")
    assert code == 0
    assert id_ in out
    assert "/files [red]" in out
    assert run("jobs", id_)[1].startswith(f"job {id_}: queued, into team\n  /files [red]\n")
    code, out, _ = run("jobs", id_, "--cancel", "--json")
    assert (code, json.loads(out)["job"]["state"]) == (0, "cancelled")
    code, _, err = run("jobs", id_, "--cancel")
    assert code == 2
    assert "cancelled already" in err
    assert ": queued," in run("jobs", id_, "--retry")[1]


def test_a_job_with_failed_files_is_exit_code_1(run: Callable[..., tuple[int, str, str]], jobs: Jobs) -> None:
    id_ = jobs.add(ASKED).id
    jobs.begin()
    jobs.found(id_, 2, 10)
    jobs.progress(id_, Progress("files/a.md", "embed", 0, 5))
    jobs.result(id_, FileResult("files/a.md", "file:///files/a.md", "added"))
    bad = FileResult("files/b.pdf", "file:///files/b.pdf", "failed", reason="It is broken.", hint="Mend it.")
    jobs.result(id_, bad)
    jobs.end(id_)
    code, out, _ = run("jobs", id_)
    assert code == 1
    assert "failed files/b.pdf: It is broken. Mend it.\n2 of 2 files: 1 added, 1 failed\n" in out


def test_what_cannot_be_done_says_why(
    run: Callable[..., tuple[int, str, str]], jobs: Jobs, tmp_path: Path
) -> None:
    code, _, err = run("jobs", "nope")
    assert code == 2
    assert "There is no job 'nope'" in err
    code, _, err = run("jobs", jobs.add(ASKED).id, "--follow")
    assert code == 3
    assert "openbook serve" in err
    code, _, err = run("jobs", "--follow")
    assert code == 2
    assert "Name the job" in err
    code, _, err = run("ingest", str(tmp_path), "--detach")
    assert code == 3
    assert "leave --detach out" in err
