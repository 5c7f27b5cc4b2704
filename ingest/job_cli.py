"""``openbook jobs``: look at ingest jobs, follow, cancel and retry them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ingest.cli import print_notable
from ingest.jobs import Job, JobList, Jobs, JobView
from ingest.report import FileResult
from rag.errors import ServiceUnreachable
from rag.owner import claim
from rag.remote import Remote, find_service
from rag.settings import load_settings
from rag.terminal import JsonOption, err, literal, out, print_json

COLOURS = {"queued": "cyan", "running": "blue", "done": "green", "failed": "red", "cancelled": "yellow"}
EVENTS = {"file": FileResult, "progress": JobView, "job": JobView}


class _Source(Protocol):
    """Jobs, wherever they are."""

    def newest(self) -> list[JobView]: ...
    def view(self, id_: str) -> JobView: ...
    def cancel(self, id_: str) -> Job: ...
    def retry(self, id_: str) -> Job: ...


class _Service:
    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def newest(self) -> list[JobView]:
        return list(self.remote.call("GET", "/v1/jobs", JobList).jobs)

    def view(self, id_: str) -> JobView:
        view: JobView = self.remote.call("GET", f"/v1/jobs/{id_}", JobView)
        return view

    def cancel(self, id_: str) -> Job:
        return self._post(id_, "cancel")

    def retry(self, id_: str) -> Job:
        return self._post(id_, "retry")

    def _post(self, id_: str, what: str) -> Job:
        view: JobView = self.remote.call("POST", f"/v1/jobs/{id_}/{what}", JobView)
        return view.job


def jobs(
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One job; without it all of them.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until it has ended.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End it; what is done stays.")] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Do an ended job again; what is done costs nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ingest jobs, which the service does one after the other and takes up again after a restart."""
    if id_ is None and (follow or cancel or retry):
        raise typer.BadParameter("Name the job: openbook jobs ID --follow", param_hint="ID")
    with _source() as source:
        if id_ is None:
            _show_all(source.newest(), as_json)
            return
        if cancel:
            source.cancel(id_)
        if retry:
            source.retry(id_)
        if follow:
            _follow(source, id_, quiet=as_json)
        view = source.view(id_)
    if as_json:
        print_json(view)
    else:
        _show(view)
    if view.job.state == "failed" or "failed" in view.job.counts:
        raise typer.Exit(1)


@contextmanager
def _source() -> Iterator[_Source]:
    settings = load_settings()
    if service := find_service(settings.data_dir):
        yield _Service(service)
        return
    with claim(settings.data_dir, "openbook jobs"), closing(Jobs(jobs_file(settings.data_dir))) as local:
        yield local


def jobs_file(data_dir: Path) -> Path:
    return data_dir / "jobs.db"


def _follow(source: _Source, id_: str, *, quiet: bool) -> None:
    if not isinstance(source, _Service):
        raise ServiceUnreachable(
            "No service runs on this data folder, so no job goes on.", "Start it: openbook serve"
        )
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("files{task.fields[left]}"),
        console=err, transient=True, disable=quiet,
    )  # fmt: skip
    task = bar.add_task(f"job {id_}", total=None, left="")
    with bar:
        for event in source.remote.stream("GET", f"/v1/jobs/{id_}/events", EVENTS, last="job"):
            if isinstance(event, JobView):
                job = event.job
                left = f", about {duration(event.left_s)} left" if event.left_s is not None else ""
                now = literal(job.now or job.state)
                bar.update(task, description=now, total=job.files, completed=job.files_done, left=left)


def _show_all(views: list[JobView], as_json: bool) -> None:
    if as_json:
        print_json(JobList(tuple(views)))
        return
    table = Table(box=None)
    for heading in ("job", "state", "collection", "files", "paths", "asked"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "paths")
    for view in views:
        job = view.job
        state = f"[{COLOURS[job.state]}]{job.state}[/]"
        files = f"{job.files_done:,}" + (f" of {job.files:,}" if job.files else "")
        table.add_row(
            job.id, state, job.run.collection, files, escape(" ".join(job.run.paths)), job.created_at[:19]
        )
    out.table(table)
    out.print(f"{len(views)} jobs")


def _show(view: JobView) -> None:
    job = view.job
    out.print(f"job {job.id}: [{COLOURS[job.state]}]{job.state}[/], into {escape(job.run.collection)}")
    for path in job.run.paths:
        out.print(f"  {path}", markup=False)
    if job.error:
        out.print(f"[red]error:[/red] {escape(job.error)} {escape(job.hint)}")
    if job.now:
        left = f", about {duration(view.left_s)} left" if view.left_s is not None else ""
        out.print(f"now: {job.now}{left}", markup=False)
    print_notable(view.files)
    counts = ", ".join(f"{count} {status}" for status, count in sorted(job.counts.items()))
    out.print(
        f"{job.files_done} of {job.files if job.files is not None else '?'} files: {counts or 'none yet'}"
    )


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
