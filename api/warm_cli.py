"""``openbook pin, unpin, warm``: what is prefilled before anybody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from api.replies import PinnedList, WarmReport
from api.warmer import EVENTS, warmed
from ingest import pinning
from ingest.cli import NamesArgument, named
from rag.compose import open_rag
from rag.errors import BadRequest, ServiceUnreachable
from rag.remote import find_service
from rag.settings import Settings, load_settings
from rag.terminal import CollectionOption, JsonOption, err, literal, out, print_json
from rag.warm import Warmed, WarmUp


def pin(
    names: NamesArgument = None,
    listed: Annotated[bool, typer.Option("--list", help="Show what is pinned.")] = False,
    collection: CollectionOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Read documents first, and whole, for every question of a collection, so that they are prefilled once."""
    if bool(names) == listed:
        raise BadRequest(
            "Nothing was named to pin, or both names and --list.", "Name documents, or use --list."
        )
    settings = load_settings()
    if service := find_service(settings.data_dir):
        if names:
            pinned = service.call("POST", "/v1/pinned", PinnedList, json=named(names, collection))
        else:
            pinned = service.call("GET", "/v1/pinned", PinnedList, params={"collection": collection})
    else:
        pinned = asyncio.run(_local_pin(settings, collection, names or []))
    _show(pinned, as_json)


async def _local_pin(settings: Settings, collection: str, names: list[str]) -> PinnedList:
    async with open_rag(settings, "openbook pin") as engine:
        rag = engine.rag
        if names:
            pinning.pin(rag.store, rag.pins, collection, names, Path.cwd())
        return PinnedList(collection, tuple(rag.pins.of([collection])))


def unpin(
    names: NamesArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is pinned of the collection.")] = False,
    collection: CollectionOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Let documents be read again only where they are found."""
    settings = load_settings()
    if service := find_service(settings.data_dir):
        body = {**named(names, collection), "all": everything}
        pinned = service.call("DELETE", "/v1/pinned", PinnedList, json=body)
    else:
        pinned = asyncio.run(_local_unpin(settings, collection, names or [], everything))
    _show(pinned, as_json)


async def _local_unpin(settings: Settings, collection: str, names: list[str], everything: bool) -> PinnedList:
    async with open_rag(settings, "openbook unpin") as engine:
        pins = pinning.unpin(engine.rag.pins, collection, names, Path.cwd(), everything=everything)
        return PinnedList(collection, tuple(pins))


def _show(pinned: PinnedList, as_json: bool) -> None:
    if as_json:
        print_json(pinned)
        return
    for each in pinned.pinned:
        out.print(each.name, markup=False)
    out.print(f"{len(pinned.pinned)} documents are pinned in {pinned.collection!r}", markup=False)


def warm(
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Only this collection; by default all.")
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(help="File with a question a line: what they would read is prefilled, too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prefill what questions will begin with: instructions, pinned documents, what many questions read."""
    asked = _lines(questions) if questions else []
    settings = load_settings()
    with err.status("warming up", spinner="dots") as spinner:
        report = _warm(settings, collection, asked, lambda step: spinner.update(literal(_told(step))))
    if as_json:
        print_json(report)
        return
    for step in report.warmed:
        out.print(_told(step), markup=False)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(
            f"{path} cannot be read: {error}", "Name a text file with a question a line."
        ) from error


def _warm(
    settings: Settings, collection: str | None, questions: Sequence[str], show: Callable[[Warmed], None]
) -> WarmReport:
    if service := find_service(settings.data_dir):
        body = {"collection": collection, "questions": questions}
        for event in service.stream("POST", "/v1/warm", EVENTS, last="report", json=body):
            if isinstance(event, Warmed):
                show(event)
    elif settings.llm_url:
        event = asyncio.run(_local_warm(settings, collection, questions, show))
    else:
        raise ServiceUnreachable(
            "No service runs on this data folder, so there is no model server that could be warmed.",
            "Start one with: openbook serve; or name a model server with OPENBOOK_LLM_URL.",
        )
    assert isinstance(event, WarmReport)
    return event


async def _local_warm(
    settings: Settings, collection: str | None, questions: Sequence[str], show: Callable[[Warmed], None]
) -> Warmed | WarmReport:
    async with open_rag(settings, "openbook warm") as engine:
        async with aclosing(warmed(WarmUp(engine.rag), collection, questions)) as events:
            async for event in events:
                if isinstance(event, Warmed):
                    show(event)
        return event


def _told(step: Warmed) -> str:
    if step.left_out:
        return f"{step.what}: {step.tokens:,} tokens, left out: too much for the model server's cache"
    took = f" in {step.seconds:.1f} s" if step.new else ""
    return f"{step.what}: {step.tokens:,} tokens, {step.new:,} of them prefilled{took}"
