"""What the code of a collection says: its symbols, who uses them, its map, and the text of a file or a symbol.

Blocking, and safe to use from threads. All raise CollectionNotFound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api import lines as lines_of
from api.code_names import document_named, symbols_named
from api.code_replies import (
    Direction,
    MapReply,
    ReferenceList,
    ReferenceView,
    SymbolList,
    SymbolView,
    TextReply,
)
from api.places import at, path_of
from rag.answer import Rag
from rag.code.codebase import Codebase, Reference, Symbol
from rag.code.map import code_map
from rag.code.outline import DefinitionKind, UseKind
from rag.errors import BadRequest
from rag.ports import Reader
from rag.reading import read
from rag.types import Span

LONGEST_NAME = 1000  # characters of what is looked for
MOST_RESULTS, MOST_TOKENS, LEAST_TOKENS = 200, 100_000, 16  # of one reply


@dataclass(frozen=True, slots=True)
class Page:
    limit: int = 50
    offset: int = 0

    def next(self, total: int) -> int | None:
        end = self.offset + self.limit
        return end if end < total else None

    @property
    def slice(self) -> slice:
        return slice(self.offset, self.offset + self.limit)


@dataclass(frozen=True, slots=True)
class Referenced:
    """Whose references are asked for, of which kinds (all, where none is given), and in which direction."""

    symbol: str
    qualified: str = ""
    kinds: tuple[UseKind, ...] = ()
    direction: Direction = "to"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Text of a document, all of it or ``lines`` (``10-40``), or of a symbol; at most ``tokens``."""

    document: str = ""
    lines: str = ""
    symbol: str = ""
    qualified: str = ""
    tokens: int = 4000


def symbols(rag: Rag, collection: str, query: str, kind: DefinitionKind | None, page: Page) -> SymbolList:
    found = rag.codebases.of([collection]).find(query, kind=kind, limit=page.offset + page.limit + 1)
    return SymbolList(
        collection, query, tuple(map(_symbol, found[page.slice])), page.offset, page.next(len(found))
    )


def references(rag: Rag, collection: str, asked: Referenced, page: Page) -> ReferenceList:
    """Raises SymbolNotFound, AmbiguousName."""
    codebase = rag.codebases.of([collection])
    definitions = symbols_named(codebase, asked.symbol, collection, asked.qualified)
    found = _references(codebase, definitions, asked)
    return ReferenceList(
        collection,
        definitions[0].qualified,
        asked.direction,
        tuple(map(_reference, found[page.slice])),
        len(found),
        page.offset,
        page.next(len(found)),
    )


def _references(codebase: Codebase, definitions: Sequence[Symbol], asked: Referenced) -> list[Reference]:
    look = codebase.references if asked.direction == "to" else codebase.uses
    found = [each for symbol in definitions for each in look(symbol, asked.kinds)]
    return list({(each.document.id, each.use, each.symbol.qualified): each for each in found}.values())


def mapped(rag: Rag, collection: str, tokens: int, focus: Sequence[str]) -> MapReply:
    """``focus`` names documents. Raises DocumentNotFound, AmbiguousName."""
    codebase = rag.codebases.of([collection])
    ids: list[str] = []
    if focus:
        documents = read(rag.store, [collection], lambda index: index.documents())
        ids = [document_named(documents, name, collection).id for name in focus]
    made = code_map(codebase, tokens, rag.remembered.count, ids)
    return MapReply(collection, made.text, made.tokens, made.budget, made.files, made.shown)


def text(rag: Rag, collection: str, wanted: Wanted) -> TextReply:
    """As the index holds it. Raises DocumentNotFound, SymbolNotFound, AmbiguousName, BadRequest."""
    if (wanted.symbol and wanted.lines) or not (wanted.symbol or wanted.document):
        raise BadRequest(
            "Neither a document nor a symbol, or a symbol and lines.", "Name one, lines of a document only."
        )
    symbol = _one_symbol(rag, collection, wanted) if wanted.symbol else None
    return read(rag.store, [collection], lambda index: _text(rag, collection, index, wanted, symbol))


def _one_symbol(rag: Rag, collection: str, wanted: Wanted) -> Symbol:
    codebase = rag.codebases.of([collection])
    return symbols_named(codebase, wanted.symbol, collection, wanted.qualified)[0]


def _text(rag: Rag, collection: str, index: Reader, wanted: Wanted, symbol: Symbol | None) -> TextReply:
    document = symbol.document if symbol else document_named(index.documents(), wanted.document, collection)
    whole = "".join(passage.text for passage in index.read(document.id))
    split = lines_of.split(whole)
    if symbol:
        first, last = lines_of.around(whole, Span(symbol.definition.start, symbol.definition.end))
    else:
        first, last = lines_of.asked(wanted.lines, len(split))
    cut = lines_of.cut(split[first - 1 : last], wanted.tokens, rag.remembered.count)
    end = first + cut.lines - 1
    return TextReply(
        collection,
        document.id,
        path_of(document.source),
        document.title,
        symbol.qualified if symbol else None,
        first,
        end,
        len(split),
        cut.text,
        cut.tokens,
        wanted.tokens,
        f"{end + 1}-{last}" if end < last else None,
        cut.in_line,
    )


def _symbol(symbol: Symbol) -> SymbolView:
    definition = symbol.definition
    return SymbolView(
        definition.name,
        symbol.qualified,
        definition.kind,
        path_of(symbol.document.source),
        definition.line,
        definition.line_end,
        definition.signature,
        definition.doc,
        definition.public,
        symbol.document.id,
    )


def _reference(reference: Reference) -> ReferenceView:
    symbol = reference.symbol
    return ReferenceView(
        path_of(reference.document.source),
        reference.use.line,
        reference.use.kind,
        reference.sure,
        symbol.qualified,
        reference.within.qualified if reference.within else None,
        at(path_of(symbol.document.source), symbol.definition.line),
        reference.document.id,
    )
