"""Documents and symbols by the names that people and agents give them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from api.places import path_of
from rag.code.codebase import Codebase, Symbol
from rag.errors import AmbiguousName, BadRequest, DocumentNotFound, SymbolNotFound
from rag.types import Document

SIMILAR = 5  # symbols that are named where none is called so


def document_named(documents: Sequence[Document], name: str, collection: str) -> Document:
    """By id, URI, path, or the end of the path where only one ends so. Raises DocumentNotFound, AmbiguousName."""
    wanted = name.strip().removeprefix("./")
    if not wanted:
        raise BadRequest("No document is named.", "Name it by id, URI or path.")
    for document in documents:
        if wanted in (document.id, document.source, path_of(document.source)):
            return document
    found = [each for each in documents if path_of(each.source).endswith("/" + wanted.lstrip("/"))]
    if len(found) > 1:
        paths = [path_of(document.source) for document in found]
        raise AmbiguousName.of(name, "documents", paths, "Give more of its path, or its id.")
    if not found:
        raise DocumentNotFound.of(name, collection)
    return found[0]


def symbols_named(codebase: Codebase, name: str, collection: str, qualified: str = "") -> list[Symbol]:
    """The definitions of the one symbol that is called so, which may be defined several times (overloads).
    ``qualified`` picks among several. Raises SymbolNotFound, AmbiguousName."""
    named = codebase.named(name)
    found = [each for each in named if each.qualified == qualified] if qualified else named
    different = list(dict.fromkeys(symbol.qualified for symbol in found))
    if len(different) > 1:
        raise AmbiguousName.of(name, "symbols", different, "Name one of these in full.")
    if not found:
        similar = named or codebase.find(name, limit=SIMILAR)
        names = list(dict.fromkeys(symbol.qualified for symbol in similar))[:SIMILAR]
        raise SymbolNotFound.of(qualified or name, collection, names)
    return found
