"""The commands that fill, list and empty collections. They go through a running service where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ingest import catalog
from ingest.catalog import Listing
from ingest.jobs import JobView
from ingest.passages import max_characters_for
from ingest.pipeline import Event, check_there, stepwise
from ingest.ray_cluster import joined
from ingest.ray_worker import Model
from ingest.reindex import reindexed
from ingest.report import WRITTEN, FileResult, Found, Removal, Report, Status, Waiting
from ingest.report import Progress as Step
from ingest.run import Run, begin
from ingest.uploads import Uploads
from rag.compose import open_rag
from rag.errors import BadRequest, ServiceUnreachable
from rag.remote import find_service
from rag.settings import Settings, load_settings
from rag.terminal import CollectionOption, JsonOption, err, literal, out, print_json

EVENTS: dict[str, type[Any]] = {
    "waiting": Waiting, "found": Found, "progress": Step, "file": FileResult, "report": Report
}  # fmt: skip

Show = Callable[[Event | Waiting], None]
_MANY, _SHOWN = 5, 3  # files with one reason that make one line, and those of them that it names

PathsArgument = Annotated[list[Path], typer.Argument(help="Files and folders to read.", show_default=False)]
RefOption = Annotated[
    str | None,
    typer.Option(
        help="Of a repository: the branch, tag or commit to read, instead of its files on the disk."
    ),
]
NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Documents: path, folder, URI, id, or name as listed.", show_default=False),
]


def ingest(
    paths: PathsArgument,
    collection: CollectionOption = "default",
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove documents whose files have gone from these folders.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Do nothing; show what would be read and, with --prune, removed."),
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try again what failed before, though it has not changed.")
    ] = False,
    ref: RefOption = None,
    all_files: Annotated[
        bool,
        typer.Option("--all-files", help="Read generated, minified, vendored and lock files, too."),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Read and embed on a Ray cluster: auto, local, HOST:PORT or ray://HOST:PORT.",
            show_default=False,
        ),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it to the service as a job, and return at once.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read files, folders and git repositories into a collection. Unchanged files cost nothing."""
    check_there(paths)  # before anything is opened
    settings = load_settings()
    absolute = tuple(str(path.absolute()) for path in paths)
    run = Run(collection, absolute, prune, retry, dry=dry_run, ref=ref, all_files=all_files)
    ray = ray or settings.ray
    if detach:
        _detach(settings, run, as_json, ray)
        return
    with progress_bar(enabled=not as_json) as show:
        report = perform(settings, run, show, ray)
    if as_json:
        print_json(report)
    elif dry_run:
        _print_plan(report)
    else:
        print_report(report)
    if report.failed:
        raise typer.Exit(1)


def perform(settings: Settings, run: Run, show: Show, ray: str | None = None) -> Report:
    """Through the service where one runs on the data folder, else here, be it on the Ray cluster at ``ray``."""
    service = find_service(settings.data_dir)
    if service is None:
        return asyncio.run(_local_run(settings, run, show, ray))
    _refuse(ray)
    for event in service.stream("POST", "/v1/ingest", EVENTS, last="report", json=asdict(run)):
        show(event)
    assert isinstance(event, Report)
    return event


def _refuse(ray: str | None) -> None:
    """The service has the store and reads by itself: a Ray cluster that fails can take the process with it."""
    if ray:
        raise BadRequest(
            "The service does not read on a Ray cluster.",
            "Stop it while the command runs, or leave --ray (OPENBOOK_RAY) out.",
        )


def _detach(settings: Settings, run: Run, as_json: bool, ray: str | None) -> None:
    _refuse(ray)
    service = find_service(settings.data_dir)
    if service is None:
        raise ServiceUnreachable(
            "No service runs on this data folder that could do it as a job.",
            "Start one with: openbook serve; or leave --detach out.",
        )
    view = service.call("POST", "/v1/jobs", JobView, accept=(202,), json=asdict(run))
    if as_json:
        print_json(view)
    else:
        out.print(f"job {view.job.id} is queued; follow it with: openbook jobs {view.job.id} --follow")


def reindex(collection: CollectionOption = "default", as_json: JsonOption = False) -> None:
    """Build a collection anew by the embedding model in use; until it is whole, the old one stays."""
    settings = load_settings()
    with progress_bar(enabled=not as_json) as show:
        if service := find_service(settings.data_dir):
            body = {"collection": collection}
            for event in service.stream("POST", "/v1/reindex", EVENTS, last="report", json=body):
                show(event)
        else:
            event = asyncio.run(_local_reindex(settings, collection, show))
    assert isinstance(event, Report)
    if as_json:
        print_json(event)
    else:
        out.print(
            f"{collection}: {len(event.files)} documents, {event.embedded:,} passages embedded", markup=False
        )


async def _local_reindex(settings: Settings, collection: str, show: Show) -> Event:
    async with open_rag(settings, "openbook reindex") as engine:
        async for event in stepwise(reindexed(engine.rag, collection)):
            show(event)
    return event


async def _local_run(settings: Settings, run: Run, show: Show, ray: str | None) -> Report:
    async with open_rag(settings, "openbook ingest") as engine:
        max_characters = max_characters_for(engine.embedder.max_tokens)
        model, patience_s = Model(settings.embedder), settings.ray_patience_s
        with joined(ray, model, max_characters, patience_s) if ray else nullcontext() as cluster:
            async for event in stepwise(begin(engine, run, cluster)):
                show(event)
    assert isinstance(event, Report)
    return event


def documents(collection: CollectionOption = "default", as_json: JsonOption = False) -> None:
    """List the documents of a collection."""
    settings = load_settings()
    if service := find_service(settings.data_dir):
        listing = service.call("GET", "/v1/documents", Listing, params={"collection": collection})
    else:
        listing = asyncio.run(_local_documents(settings, collection))
    if as_json:
        print_json(listing)
        return
    table = Table(box=None)
    for heading in ("document", "title", "pages", "passages", "tokens", "ingested"):
        # A name is broken rather than cut: it is what other commands take.
        table.add_column(heading, overflow="fold", no_wrap=heading not in ("document", "title"))
    for document in listing.documents:
        pages = str(document.pages or "")
        counts = (f"{document.passages:,}", f"{document.tokens:,}")
        table.add_row(escape(document.name), escape(document.title), pages, *counts, document.ingested_at)
    out.table(table)
    tokens = sum(document.tokens for document in listing.documents)
    out.print(f"{len(listing.documents)} documents, {tokens:,} tokens in {collection!r}")


async def _local_documents(settings: Settings, collection: str) -> Listing:
    async with open_rag(settings, "openbook documents") as engine:
        return catalog.listing(engine.rag.store, collection)


def rm(
    names: NamesArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole collection.")] = False,
    collection: CollectionOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Remove documents, or a whole collection, from the index. Files are not touched, but for uploaded ones."""
    settings = load_settings()
    if service := find_service(settings.data_dir):
        body = {**named(names, collection), "all": everything}
        removal = service.call("DELETE", "/v1/documents", Removal, json=body)
    else:
        removal = asyncio.run(_local_rm(settings, collection, names or [], everything))
    if as_json:
        print_json(removal)
        return
    for document in removal.removed:
        out.print(f"removed {document.name}", markup=False)
    for name in removal.files:
        out.print(f"deleted {name}", markup=False)
    whole = ", and the collection itself" if everything else ""
    out.print(f"{len(removal.removed)} documents removed from {collection!r}{whole}", markup=False)


async def _local_rm(settings: Settings, collection: str, names: Sequence[str], everything: bool) -> Removal:
    async with open_rag(settings, "openbook rm") as engine:
        uploads = Uploads(engine.owner.folder, engine.rag.collection_settings.identity)
        return catalog.removed(
            engine.rag.store,
            uploads,
            engine.rag.collection_settings,
            collection,
            names,
            Path.cwd(),
            everything=everything,
        )


def named(names: Sequence[str] | None, collection: str) -> dict[str, Any]:
    """Documents by name, as the service is told: relative paths are below where the user stands."""
    return {"names": list(names or ()), "folder": str(Path.cwd()), "collection": collection}


@contextmanager
def progress_bar(*, enabled: bool) -> Iterator[Show]:
    """Yields what takes each event: a bar over files, with the file at hand and what is being done with it."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not enabled,
    )
    task = bar.add_task("looking for files", total=None)

    def show(event: Event | Waiting) -> None:
        if isinstance(event, Waiting):
            bar.update(task, description=f"waiting: {literal(event.reason)}")
        elif isinstance(event, Found):
            bar.update(task, total=event.files, description="looking at files")
        elif isinstance(event, Step):
            share = f" {event.passages_done}/{event.passages} passages" if event.passages else ""
            bar.update(task, description=f"{event.stage} {literal(event.name)}{share}")
        elif isinstance(event, FileResult):
            bar.advance(task)
            shown = bar.tasks[0]
            if shown.total is not None and shown.completed > shown.total:  # files within archives are more
                bar.update(task, total=shown.completed)

    with bar:
        yield show


def print_notable(results: Iterable[FileResult]) -> None:
    """The files of which a person should know more than their number; many that were skipped for one reason in one
    line."""
    colours = {"failed": "red", "skipped": "yellow", "removed": "yellow"}
    told: dict[tuple[Status, str], list[str]] = {}
    for result in results:
        if result.status in colours:
            told.setdefault((result.status, f"{result.reason} {result.hint}".strip()), []).append(result.name)
    for (status, why), names in told.items():
        lines = (
            [", ".join((*names[:_SHOWN], f"and {len(names) - _SHOWN:,} more"))]
            if len(names) > _MANY
            else names
        )
        for line in lines:
            out.print(f"[{colours[status]}]{status}[/{colours[status]}]", escape(f"{line}: {why}"))


def _print_plan(report: Report) -> None:
    for result in report.files:
        if result.status in WRITTEN:
            out.print(f"{result.status} {result.name}", markup=False)
    print_notable(report.files)
    out.print(f"{report.collection}: {counted(report)}; nothing was done (--dry-run)")


def counted(report: Report) -> str:
    """The files by status, in words."""
    statuses: tuple[Status, ...] = ("added", "replaced", "unchanged", "removed", "skipped", "failed")
    counts = (f"{report.count(status)} {status}" for status in statuses if report.count(status))
    return ", ".join(counts) or "no files found"


def print_report(report: Report) -> None:
    print_notable(report.files)
    written = [result for result in report.files if result.status in WRITTEN]
    out.print(f"{report.collection}: {counted(report)}")
    pages, recognized, empty = report.pages
    told = [f"{report.parsed:,} files parsed", f"{pages:,} pages" if pages else ""]
    told += [f"{recognized:,} of them by recognition" if recognized else ""]
    told += [
        f"{empty:,} without text" if empty else "",
        f"{report.containers:,} archives and e-mails" if report.containers else "",
    ]
    told += [f"{report.embedded:,} passages embedded", f"{report.reused:,} known" if report.reused else ""]
    told += [f"{sum(result.tokens for result in written):,} tokens written"]
    out.print(", ".join(filter(None, told)))
    for folder, commit in report.commits.items():
        out.print(f"{Path(folder).name} at {commit[:12] or 'no commit'}", markup=False)
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.seconds.items())
    out.print(f"seconds: {stages}")
