"""The commands that ask, and the service. They go through a running service where there is one."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from api.replies import SearchReply, Status
from ingest import catalog
from ingest.job_cli import duration, jobs_file
from ingest.jobs import Jobs, Pending
from rag import owner
from rag.answer import Event, Piece, Reading
from rag.compose import Engine, ModelServer, open_rag
from rag.errors import BadRequest, ServiceUnreachable
from rag.remote import Remote, find_service
from rag.settings import Settings, load_settings
from rag.terminal import CollectionOption, JsonOption, err, literal, out, print_json
from rag.types import Answer, Citation, Question, Receipt, short_name

EVENTS: dict[str, type[Any]] = {"reading": Reading, "piece": Piece, "answer": Answer}
QUOTE_CHARACTERS = 240  # of a quotation on the screen; --json has all of it


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; by default 8080.")] = None,
) -> None:
    """Run the service, and the model server with it unless OPENBOOK_LLM_URL names one."""
    from api.serve import serve as run  # the web framework is loaded by this command only

    run(load_settings(host=host, port=port))


def ask(
    question: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    collection: CollectionOption = "default",
    max_context_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of documents to read.")
    ] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from a collection, with citations and a receipt."""
    settings = load_settings()
    asked = Question(_text(question), collection, max_context_tokens, max_answer_tokens)
    with _answer_view(quiet=as_json) as view:
        answer = _ask(settings, asked, view)
    if as_json:
        print_json(answer)
    else:
        _print_citations(answer)
        _print_receipt(answer.receipt)


def _text(question: str) -> str:
    try:
        text = sys.stdin.read() if question == "-" else question
        text.encode()  # an argument's bytes that are no UTF-8 show only here
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise BadRequest(f"The question is not text: {error.reason}.", "Write it in UTF-8.") from error
    return text


@dataclass(frozen=True, slots=True)
class _View:
    """What the terminal shows while an answer is made: ``told`` what goes on, ``show`` each event."""

    told: Callable[[str], None]
    show: Callable[[Event], None]


@contextmanager
def _answer_view(*, quiet: bool) -> Iterator[_View]:
    with err.status("reading", spinner="dots") as spinner:

        def show(event: Event) -> None:
            if isinstance(event, Reading):
                receipt = event.receipt
                told(f"{receipt.model} is reading {receipt.context_tokens:,} tokens")
                return
            spinner.stop()
            if quiet:
                return
            if isinstance(event, Piece):
                out.print(event.text, end="", markup=False)
            else:  # a stream that brought no piece has not shown its text yet
                out.print("" if event.receipt.usage else event.text, markup=False)

        def told(text: str) -> None:
            spinner.update(literal(text))

        yield _View(told, show)


def _ask(settings: Settings, question: Question, view: _View) -> Answer:
    service = find_service(settings.data_dir)
    if service is None:
        return asyncio.run(_local_ask(settings, question, view))
    body = asdict(question) | {"question": question.text, "stream": True}
    del body["text"]
    for event in service.stream("POST", "/v1/answer", EVENTS, last="answer", json=body):
        view.show(event)
    assert isinstance(event, Answer)
    return event


async def _local_ask(settings: Settings, question: Question, view: _View) -> Answer:
    async with open_rag(settings, "openbook ask") as engine:
        # Before a model server is started for a minute: is there anything to ask, and is it a question?
        await asyncio.to_thread(engine.rag.store.open, question.collection)
        engine.rag.check(question.text)
        await _model_ready(engine, view)
        async for event in engine.rag.stream(question):
            view.show(event)
    assert isinstance(event, Answer)
    return event


async def _model_ready(engine: Engine, view: _View) -> None:
    server: ModelServer | None = engine.server
    if server is None:
        return
    await server.start()
    waiting = asyncio.ensure_future(server.wait_ready())
    began = time.monotonic()
    while not waiting.done():
        await asyncio.wait([waiting], timeout=0.5)
        view.told(f"starting the model server: {server.status.detail} ({time.monotonic() - began:.0f} s)")
    await waiting


def search(
    query: Annotated[str, typer.Argument(help="What to look for; - reads it from standard input.")],
    collection: CollectionOption = "default",
    limit: Annotated[int, typer.Option(min=1, max=200, help="Passages to show.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show the passages that a question would find, best first, without asking the model."""
    settings = load_settings()
    text = _text(query)
    with err.status("searching", spinner="dots"):
        if service := find_service(settings.data_dir):
            body = {"query": text, "collection": collection, "limit": limit}
            found = service.call("POST", "/v1/search", SearchReply, json=body)
        else:
            found = asyncio.run(_local_search(settings, text, collection, limit))
    if as_json:
        print_json(found)
        return
    for rank, hit in enumerate(found.hits, 1):
        passage = hit.passage
        place = f"{hit.document.name}, {passage.place(passage.span)}"
        out.print(f"[bold]{rank}.[/bold] {escape(place)}  [dim]{hit.score:.4f}[/dim]")
        out.print("   " + _shortened(passage.text), markup=False, style="dim")
    if not found.hits:
        out.print(f"nothing found in {collection!r}")


async def _local_search(settings: Settings, query: str, collection: str, limit: int) -> SearchReply:
    async with open_rag(settings, "openbook search") as engine:
        return SearchReply(collection, tuple(await engine.rag.search(query, collection, limit)))


def status(
    wait: Annotated[bool, typer.Option("--wait", help="Return when questions can be answered.")] = False,
    timeout: Annotated[float, typer.Option(help="With --wait: seconds before giving up.")] = 1200.0,
    as_json: JsonOption = False,
) -> None:
    """Show the service, the model and the collections. Exit code 3 with --wait when it does not get ready."""
    settings = load_settings()
    if wait:
        _wait_ready(settings, timeout)
    if service := find_service(settings.data_dir):
        now = service.call("GET", "/v1/status", Status)
    else:
        now = asyncio.run(_local_status(settings))
    if as_json:
        print_json(now)
        return
    where = f"{now.url} (pid {now.pid})" if now.url else "not running"
    rows = {"service": where, "version": now.version, "data folder": now.data_dir}
    rows |= {"model": now.model, "embedder": now.embedder}
    for name, value in rows.items():
        out.print(f"{name + ':':13} {value}", markup=False)
    for name, size in now.collections.items():
        _print_size(name, size)
    for job in now.jobs:
        _print_job(job)


def _print_size(name: str, size: catalog.Size) -> None:
    told = size.error or f"{size.documents:,} documents, {size.passages:,} passages"
    out.print(f"collection:   {name}: {told}", markup=False)
    if size.outdated:
        told = f"{size.outdated:,} documents were read by an older parser; read them again with:"
        out.print(f"              {told} openbook ingest PATH --collection {name}", markup=False)


def _print_job(job: Pending) -> None:
    files = f"{job.files_done:,}" + (f" of {job.files:,}" if job.files is not None else "")
    left = f", about {duration(job.left_s)} left" if job.left_s is not None else ""
    out.print(f"job:          {job.id} {job.state}, {files} files into {job.collection}{left}", markup=False)


async def _local_status(settings: Settings) -> Status:
    async with open_rag(settings, "openbook status") as engine:
        return Status(
            version=version("openbook"),
            pid=os.getpid(),
            data_dir=str(settings.data_dir),
            url=None,
            model=str(settings.llm_url or settings.vllm_model.name),
            embedder=engine.rag.embedder.name,
            collections=catalog.sizes(engine.rag.store, engine.rag.embedder),
            jobs=_waiting(settings),
        )


def _waiting(settings: Settings) -> tuple[Pending, ...]:
    """What the next service will do; the caller owns the data folder."""
    path = jobs_file(settings.data_dir)
    if not path.exists():
        return ()
    with closing(Jobs(path)) as jobs:
        return tuple(jobs.pending())


def _wait_ready(settings: Settings, timeout: float) -> None:
    """Returns when the service is ready; raises ServiceUnreachable saying what it still waited for."""
    from api.doctor import unready  # what it imports costs every other command a third of a second

    deadline = time.monotonic() + timeout
    told = "no service runs on this data folder"
    with err.status("waiting for the service", spinner="dots") as spinner:
        while time.monotonic() < deadline:
            record = owner.find(settings.data_dir)
            if record and record.url:
                told = unready(Remote(record.url, record.token))
                if not told:
                    return
                spinner.update(literal(told))
                if "is failed" in told:
                    break
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
    raise ServiceUnreachable(f"The service is not ready: {told}", "Its log says more.")


def doctor(as_json: JsonOption = False) -> None:
    """Check environments, model, store, model server and disk, and say how to mend each."""
    from api.doctor import examine

    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    findings = []
    for finding in examine(load_settings()):
        findings.append(finding)
        if not as_json:
            colour = colours[finding.verdict]
            out.print(f"[{colour}]{finding.verdict:4}[/{colour}] {finding.name}: ", end="")
            out.print(finding.detail, markup=False)
            if finding.mend:
                out.print(f"       {finding.mend}", markup=False)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


def _print_citations(answer: Answer) -> None:
    if not answer.answerable:
        out.print(f"\n{answer.reason}", markup=False, style="yellow")
        return
    if answer.citations:
        out.print()
    for citation in answer.citations:
        _print_citation(citation)
    for span in answer.unsupported:
        out.print("no support found for: " + answer.text[span.start : span.end], markup=False, style="yellow")


def _print_citation(citation: Citation) -> None:
    by = "" if citation.origin == "mark" else ", found by support"
    offsets = f"characters {citation.span.start}-{citation.span.end}"
    place = f"{short_name(citation.source)}, {citation.place}, {offsets}"
    out.print(f"[{citation.number}] {place} ({citation.grade}{by})", markup=False, style="bold")
    out.print("    " + _shortened(citation.quote), markup=False, style="dim")


def _print_receipt(receipt: Receipt) -> None:
    usage = receipt.usage
    cached = "unknown" if usage is None or usage.cached is None else f"{usage.cached:,}"
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "searched", f"{receipt.passages:,} passages of {receipt.documents:,} documents, {receipt.hits} found"
    )
    names = ", ".join(f"[{read.number}] {short_name(read.source)} {read.place}" for read in receipt.read)
    amount = f"{receipt.context_tokens:,} of {receipt.budget_tokens:,} tokens"
    table.add_row("read", escape(f"{amount}: {names}" if names else amount))
    if receipt.dropped:
        tokens = sum(drop.tokens for drop in receipt.dropped)
        passages = sum(len(drop.ordinals) for drop in receipt.dropped)
        told = f"{passages} passages, {tokens:,} tokens, {receipt.dropped[0].reason}"
        table.add_row("not read", escape(told))
    if usage:
        table.add_row(
            "model",
            escape(f"{receipt.model}: {usage.prompt:,} in, {cached} cached, {usage.completion:,} out"),
        )
    table.add_row(
        "seconds", ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in receipt.seconds.items())
    )
    for warning in receipt.warnings:
        table.add_row("note", escape(warning))
    out.print()
    out.table(table, style="dim")


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= QUOTE_CHARACTERS else flat[: QUOTE_CHARACTERS - 1] + "…"
