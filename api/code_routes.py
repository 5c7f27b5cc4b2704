"""The REST paths of a collection's code: symbols, references, its map, and text of files and symbols."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from api import code
from api.code import LEAST_TOKENS, LONGEST_NAME, MOST_RESULTS, MOST_TOKENS, Page, Referenced, Wanted
from api.code_replies import Direction, MapReply, ReferenceList, SymbolList, TextReply
from api.routes import EngineOf, problems_of
from api.rules import needs
from api.schemas import Text
from rag.code.outline import DefinitionKind, UseKind

router = APIRouter(prefix="/v1/collections/{name}")

Limit = Annotated[int, Query(ge=1, le=MOST_RESULTS)]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Results to leave out.")]
Tokens = Annotated[int, Query(ge=LEAST_TOKENS, le=MOST_TOKENS, description="Most tokens of text.")]
Symbol = Annotated[Text, Query(max_length=LONGEST_NAME, description="run, Flask.run or flask.app.Flask.run.")]
Qualified = Annotated[
    Text, Query(max_length=LONGEST_NAME, description="Which of several symbols of that name, in full.")
]


@router.get("/symbols", responses=problems_of(404, 409, 422, 503), summary="Definitions by name, best first")
@needs("read")
async def symbols(
    name: str,
    engine: EngineOf,
    query: Annotated[Text, Query(min_length=1, max_length=LONGEST_NAME)],
    kind: DefinitionKind | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> SymbolList:
    return await asyncio.to_thread(code.symbols, engine.rag, name, query, kind, Page(limit, offset))


@router.get(
    "/references",
    responses=problems_of(404, 409, 422, 503),
    summary="Where a symbol is used, or what it uses, surest first",
)
@needs("read")
async def references(
    name: str,
    engine: EngineOf,
    symbol: Symbol,
    qualified: Qualified = "",
    kinds: Annotated[tuple[UseKind, ...], Query(description="All, where none is given.")] = (),
    direction: Annotated[Direction, Query(description="from: what the symbol uses.")] = "to",
    limit: Limit = 50,
    offset: Offset = 0,
) -> ReferenceList:
    asked = Referenced(symbol, qualified, kinds, direction)
    return await asyncio.to_thread(code.references, engine.rag, name, asked, Page(limit, offset))


@router.get(
    "/map",
    responses=problems_of(404, 409, 422, 503),
    summary="The code's tree and the definitions that matter, in a budget of tokens",
)
@needs("read")
async def map_(
    name: str,
    engine: EngineOf,
    tokens: Tokens = 4000,
    focus: Annotated[tuple[Text, ...], Query(description="Documents that the ranking begins at.")] = (),
) -> MapReply:
    return await asyncio.to_thread(code.mapped, engine.rag, name, tokens, focus)


@router.get(
    "/text",
    responses=problems_of(404, 409, 422, 503),
    summary="Text of a document, of lines of it, or of a symbol, as the index holds it",
)
@needs("read")
async def text(
    name: str,
    engine: EngineOf,
    document: Annotated[Text, Query(max_length=4096, description="Id, URI, or the end of its path.")] = "",
    lines: Annotated[
        str, Query(max_length=24, description="10-40, 10 or 10-; all where nothing is said.")
    ] = "",
    symbol: Symbol = "",
    qualified: Qualified = "",
    tokens: Tokens = 4000,
) -> TextReply:
    wanted = Wanted(document, lines, symbol, qualified, tokens)
    return await asyncio.to_thread(code.text, engine.rag, name, wanted)
