"""The commands that ask, and the service. They go through a running service where there is one."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from importlib.metadata import version
from itertools import chain
from typing import Annotated

import typer

from api.answer_view import answer_view
from api.asking import asking
from api.filter_options import (
    CollectionsOption,
    FieldOption,
    HeadingOption,
    PathOption,
    SinceOption,
    TypeOption,
    UntilOption,
    collections,
    filter_of,
)
from api.model_option import ModelOption
from api.printing import print_answer, print_hits, print_status
from api.replies import SearchReply, Status
from api.target_cli import TargetOption
from ingest import catalog
from ingest.job_cli import jobs_file
from ingest.jobs import Jobs, Pending
from rag import owner, wire
from rag.compose import open_rag
from rag.errors import BadRequest, ServiceUnreachable
from rag.question import Policy, Question
from rag.remote import Remote, find_service
from rag.settings import Settings, load_settings
from rag.terminal import JsonOption, err, literal, out, print_json


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind; by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind; by default 8080.")] = None,
) -> None:
    """Run the service, and the model server with it unless OPENBOOK_LLM_URL names one."""
    from api.serve import serve as run  # the web framework is loaded by this command only

    run(load_settings(host=host, port=port))


def ask(
    question: Annotated[str, typer.Argument(help="The question; - reads it from standard input.")],
    collection: CollectionsOption = None,
    path: PathOption = None,
    kind: TypeOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    heading: HeadingOption = None,
    field: FieldOption = None,
    policy: Annotated[Policy, typer.Option(help="How the context is packed.")] = "auto",
    max_context_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of documents to read.")
    ] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer in tokens.")] = None,
    target_ms: TargetOption = None,
    model: ModelOption = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with a conversation; new begins one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a question from a collection, with citations and a receipt."""
    settings = load_settings()
    asked = Question(
        _text(question),
        collections(collection),
        max_context_tokens,
        max_answer_tokens,
        among=filter_of(path, kind, since, until, heading, field),
        policy=policy,
        conversation=conversation,
        target_ttft_ms=target_ms,
        model=model,
    )
    with answer_view(quiet=as_json) as view, asking(settings, "openbook ask") as there:
        if conversation == "new":
            asked = replace(asked, conversation=there.begin().id)
            err.print(f"conversation {asked.conversation}")
        answer = there.answer(asked, view)
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)


def _text(question: str) -> str:
    try:
        text = sys.stdin.read() if question == "-" else question
        text.encode()  # an argument's bytes that are no UTF-8 show only here
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise BadRequest(f"The question is not text: {error.reason}.", "Write it in UTF-8.") from error
    return text


def search(
    query: Annotated[str, typer.Argument(help="What to look for; - reads it from standard input.")],
    collection: CollectionsOption = None,
    path: PathOption = None,
    kind: TypeOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    heading: HeadingOption = None,
    field: FieldOption = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Passages to show.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Show the passages that a question would find, best first, without asking the model."""
    settings = load_settings()
    among = filter_of(path, kind, since, until, heading, field)
    asked = Question(_text(query), collections(collection), among=among)
    with err.status("searching", spinner="dots"):
        if service := find_service(settings.data_dir):
            body = {
                "query": asked.text,
                "collection": asked.collection,
                "limit": limit,
                "filter": wire.dump(among),
            }
            found = service.call("POST", "/v1/search", SearchReply, json=body)
        else:
            found = asyncio.run(_local_search(settings, asked, limit))
    if as_json:
        print_json(found)
        return
    print_hits(found)


async def _local_search(settings: Settings, question: Question, limit: int) -> SearchReply:
    async with open_rag(settings, "openbook search") as engine:
        return SearchReply(question.collection, tuple(await engine.rag.search(question, limit)))


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
    print_status(now)


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


def doctor(
    spark: Annotated[
        bool,
        typer.Option(
            "--spark",
            help="Also the machine: driver, memory, disk speed, clocks, and whether prompts are reused.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check environments, model, store, model server and disk, and say how to mend each."""
    from api import doctor as usual
    from api import spark as machine

    colours = {"ok": "green", "warn": "yellow", "fail": "red", "skipped": "dim"}
    settings, findings = load_settings(), []
    for finding in chain(usual.examine(settings), machine.examine(settings) if spark else ()):
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
