"""``openbook map``, ``symbols`` and ``refs``: what the code of a collection says, with places that terminals open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_args
from urllib.parse import quote

import typer

from api import code
from api.code import LEAST_TOKENS, MOST_RESULTS, MOST_TOKENS, Page, Referenced
from api.code_replies import Direction, MapReply, ReferenceList, ReferenceView, SymbolList, SymbolView
from api.places import at, shown
from rag.answer import Rag
from rag.code.outline import DefinitionKind, UseKind
from rag.compose import open_rag
from rag.errors import BadRequest
from rag.remote import find_service
from rag.settings import Settings, load_settings
from rag.terminal import CollectionOption, JsonOption, err, out, print_json

T = TypeVar("T")

KINDS = ", ".join(get_args(DefinitionKind))
LimitOption = Annotated[int, typer.Option(min=1, max=MOST_RESULTS, help="Most to show.")]
OffsetOption = Annotated[int, typer.Option(min=0, help="How many to leave out.")]


def map_(
    collection: CollectionOption = "default",
    tokens: Annotated[
        int, typer.Option(min=LEAST_TOKENS, max=MOST_TOKENS, help="Longest map, in tokens.")
    ] = 4000,
    focus: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="A file that matters most; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a map of a collection's code: its tree, and the definitions that matter, in a budget of tokens."""
    made = _asked(
        f"/v1/collections/{quote(collection, safe='')}/map",
        MapReply,
        {"tokens": tokens, "focus": focus or []},
        lambda rag: code.mapped(rag, collection, tokens, focus or []),
    )
    if as_json:
        print_json(made)
        return
    out.print(made.text, markup=False)
    err.print(
        f"{made.shown:,} of {made.files:,} files, {made.tokens:,} of {made.budget:,} tokens", markup=False
    )


def symbols(
    query: Annotated[str, typer.Argument(help="A name, part of one, or words in it: run, Flask.run.")],
    collection: CollectionOption = "default",
    kind: Annotated[str | None, typer.Option(help=f"Only these: {KINDS}.")] = None,
    limit: LimitOption = 20,
    offset: OffsetOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Find definitions in a collection's code by name, best first."""
    only = _kind(kind)
    found = _asked(
        f"/v1/collections/{quote(collection, safe='')}/symbols",
        SymbolList,
        {"query": query, "limit": limit, "offset": offset} | ({"kind": only} if only else {}),
        lambda rag: code.symbols(rag, collection, query, only, Page(limit, offset)),
    )
    if as_json:
        print_json(found)
        return
    for symbol in found.symbols:
        _print_symbol(symbol)
    if not found.symbols:
        out.print(f"no symbol like {query!r} in {collection!r}", markup=False)
    _print_more(found.next_offset)


def refs(
    symbol: Annotated[str, typer.Argument(help="run, Flask.run or flask.app.Flask.run.")],
    callers: Annotated[bool, typer.Option("--callers", help="Only calls of it.")] = False,
    implementers: Annotated[bool, typer.Option("--implementers", help="Only what inherits from it.")] = False,
    callees: Annotated[bool, typer.Option("--callees", help="What it calls, instead.")] = False,
    collection: CollectionOption = "default",
    limit: LimitOption = 50,
    offset: OffsetOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Show where a symbol is used in a collection's code, or what it calls, surest first."""
    kinds, direction = _which(callers, implementers, callees)
    asked = Referenced(symbol, kinds=kinds, direction=direction)
    found = _asked(
        f"/v1/collections/{quote(collection, safe='')}/references",
        ReferenceList,
        {"symbol": symbol, "kinds": list(kinds), "direction": direction, "limit": limit, "offset": offset},
        lambda rag: code.references(rag, collection, asked, Page(limit, offset)),
    )
    if as_json:
        print_json(found)
        return
    for reference in found.references:
        _print_reference(reference, direction)
    told = "uses nothing of this code" if direction == "from" else "is not used in this code"
    out.print(
        f"{found.total:,} in all" if found.total else f"{found.symbol} {told}", markup=False, style="dim"
    )
    _print_more(found.next_offset)


def _kind(kind: str | None) -> DefinitionKind | None:
    if kind is None:
        return None
    known: dict[str, DefinitionKind] = {each: each for each in get_args(DefinitionKind)}
    if kind not in known:
        raise BadRequest(f"There is no kind {kind!r}.", f"The kinds are {KINDS}.")
    return known[kind]


def _which(callers: bool, implementers: bool, callees: bool) -> tuple[tuple[UseKind, ...], Direction]:
    if callees and (callers or implementers):
        raise BadRequest("--callees asks for the other direction.", "Give it alone.")
    if callees:
        return ("call", "fixture"), "from"
    kinds: tuple[tuple[bool, UseKind], ...] = (
        (callers, "call"), (callers, "fixture"), (implementers, "inherit")
    )  # fmt: skip
    return tuple(kind for wanted, kind in kinds if wanted), "to"


def _asked(path: str, kind: type[T], parameters: dict[str, Any], here: Callable[[Rag], T]) -> T:
    """Of the service where one runs on the data folder, else done here."""
    settings = load_settings()
    if service := find_service(settings.data_dir):
        reply: T = service.call("GET", path, kind, params=parameters)
        return reply
    return asyncio.run(_here(settings, here))


async def _here(settings: Settings, work: Callable[[Rag], T]) -> T:
    async with open_rag(settings, "openbook") as engine:
        return work(engine.rag)


def _print_symbol(symbol: SymbolView) -> None:
    place = at(shown(symbol.path), symbol.line)
    out.print(f"{place}  {symbol.kind} {symbol.qualified}", markup=False)
    if told := "  ".join(filter(None, (symbol.signature, symbol.doc))):
        out.print(f"    {told}", markup=False, style="dim")


def _print_reference(reference: ReferenceView, direction: Direction) -> None:
    place = at(shown(reference.path), reference.line)
    sure = "" if reference.sure == "exact" else f"  ({reference.sure})"
    if direction == "from":
        path, _, line = reference.defined_at.rpartition(":")
        told = f"{reference.kind} {reference.symbol}  defined at {shown(path)}:{line}"
    else:
        told = f"{reference.kind} in {reference.within or 'the file itself'}"
    out.print(f"{place}  {told}{sure}", markup=False)


def _print_more(next_offset: int | None) -> None:
    if next_offset is not None:
        err.print(f"there are more: --offset {next_offset}", markup=False)
