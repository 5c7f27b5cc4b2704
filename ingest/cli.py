"""The commands that fill, list and empty collections. They go through a running service where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ingest import catalog
from ingest.pipeline import Event, Ingestion, stepwise
from ingest.report import FileResult, Found, Report
from ingest.report import Progress as Step
from rag import wire
from rag.compose import open_rag
from rag.errors import SourceMissing
from rag.remote import find_service
from rag.settings import Settings, load_settings
from rag.terminal import CollectionOption, JsonOption, err, out, print_json
from rag.types import Document

EVENTS: dict[str, type[Any]] = {"found": Found, "progress": Step, "file": FileResult, "report": Report}

PathsArgument = Annotated[list[Path], typer.Argument(help="Files and folders to read.", show_default=False)]


def ingest(
    paths: PathsArgument, collection: CollectionOption = "default", as_json: JsonOption = False
) -> None:
    """Read files and folders into a collection. Unchanged files cost nothing; changed ones are replaced."""
    for path in paths:  # before anything is opened
        if not path.exists():
            raise SourceMissing(f"There is no file or folder {path}.", "Check the path, and where you are.")
    settings = load_settings()
    with _progress_bar(enabled=not as_json) as show:
        report = asyncio.run(_run(settings, [path.absolute() for path in paths], collection, show))
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.failed:
        raise typer.Exit(1)


async def _run(settings: Settings, paths: Sequence[Path], collection: str, show: Any) -> Report:
    async for event in _events(settings, paths, collection):
        show(event)
        if isinstance(event, Report):
            return event
    raise AssertionError("a run ends with its report")


async def _events(settings: Settings, paths: Sequence[Path], collection: str) -> AsyncIterator[Event]:
    if service := find_service(settings.data_dir):
        body = {"paths": [str(path) for path in paths], "collection": collection}
        for name, data in service.stream("POST", "/v1/ingest", json=body):
            yield wire.load(EVENTS[name], data)
        return
    async with open_rag(settings, "openbook ingest") as engine:
        rag = engine.rag
        ingestion = Ingestion(rag.store, rag.embedder, rag.tokens, collection)
        async for event in stepwise(ingestion.run(paths)):
            yield event


def documents(collection: CollectionOption = "default", as_json: JsonOption = False) -> None:
    """List the documents of a collection."""
    settings = load_settings()
    if service := find_service(settings.data_dir):
        data = service.call("GET", "/v1/documents", params={"collection": collection})
        listed = wire.load(list[Document], data["documents"])
    else:
        listed = asyncio.run(_local_documents(settings, collection))
    if as_json:
        print_json({"collection": collection, "documents": [wire.dump(document) for document in listed]})
        return
    table = Table("document", "title", "pages", "passages", "tokens", "ingested", box=None)
    for document in listed:
        pages = str(document.pages or "")
        counts = (f"{document.passages:,}", f"{document.tokens:,}")
        table.add_row(document.name, document.title, pages, *counts, document.ingested_at)
    out.print(table)
    out.print(f"{len(listed)} documents, {sum(d.tokens for d in listed):,} tokens in {collection!r}")


async def _local_documents(settings: Settings, collection: str) -> list[Document]:
    async with open_rag(settings, "openbook documents") as engine:
        return engine.rag.store.open(collection).documents()


def rm(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Documents: path, folder, URI, id, or name as listed.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="The whole collection.")] = False,
    collection: CollectionOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Remove documents, or a whole collection, from the index. The files themselves are not touched."""
    settings = load_settings()
    if service := find_service(settings.data_dir):
        body = {
            "names": names or [],
            "folder": str(Path.cwd()),
            "all": everything,
            "collection": collection,
        }
        data = service.call("DELETE", "/v1/documents", json=body)
        gone = wire.load(list[Document], data["removed"])
    else:
        gone = asyncio.run(_local_rm(settings, collection, names or [], everything))
    if as_json:
        print_json({"collection": collection, "removed": [wire.dump(document) for document in gone]})
        return
    for document in gone:
        out.print(f"removed {document.name}")
    out.print(f"{len(gone)} documents removed from {collection!r}")


async def _local_rm(
    settings: Settings, collection: str, names: Sequence[str], everything: bool
) -> list[Document]:
    async with open_rag(settings, "openbook rm") as engine:
        return catalog.removed(engine.rag.store, collection, names, Path.cwd(), everything=everything)


@contextmanager
def _progress_bar(*, enabled: bool) -> Iterator[Any]:
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

    def show(event: Event) -> None:
        if isinstance(event, Found):
            bar.update(task, total=event.files)
        elif isinstance(event, Step):
            share = f" {event.passages_done}/{event.passages} passages" if event.passages else ""
            bar.update(task, description=f"{event.stage} {event.name}{share}")
        elif isinstance(event, FileResult):
            bar.advance(task)

    with bar:
        yield show


def _print_report(report: Report) -> None:
    for result in report.files:
        if result.status in ("failed", "skipped"):
            colour = "red" if result.status == "failed" else "yellow"
            out.print(f"[{colour}]{result.status}[/{colour}] {result.name}:", end=" ")
            out.print(f"{result.reason} {result.hint}".strip(), markup=False)
    written = [result for result in report.files if result.status in ("added", "replaced")]
    counts = ", ".join(
        f"{report.count(status)} {status}"
        for status in ("added", "replaced", "unchanged", "skipped", "failed")
        if report.count(status)
    )
    out.print(f"{report.collection}: {counts or 'no files found'}")
    out.print(
        f"{report.parsed} files parsed, {report.embedded} passages embedded, "
        f"{sum(result.tokens for result in written):,} tokens written, {report.seconds.get('total', 0):.1f} s"
    )
