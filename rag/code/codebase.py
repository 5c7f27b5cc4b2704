"""The outlines of a collection's files as one: where a name is defined, who uses it, what hangs together. Pure."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from posixpath import commonpath
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

from rapidfuzz import fuzz, process

from rag.code.modules import Module, Modules
from rag.code.outline import Definition, DefinitionKind, Outline, Use, UseKind
from rag.code.scopes import Scopes, Sure
from rag.types import Document

# How much of a name that is spelled alike must agree, in percent (rapidfuzz's ratio).
_ALIKE = 70.0
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SEPARATOR = re.compile(r"::|[./#:\\]+")
_SURE: tuple[Sure, ...] = ("exact", "likely", "possible")
_WORTH: Mapping[Sure, float] = {"exact": 1.0, "likely": 0.3}


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition and where it is; ``qualified`` is ``flask.app.Flask.run``, ``number`` its place in the code base."""

    document: Document
    definition: Definition
    qualified: str
    number: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A use of ``symbol`` in ``document``, in the definition ``within`` (None: in none). ``exact``: by the file's own
    definitions and imports, or through ``self``; ``likely``: only one definition has that name; ``possible``: one of
    several that have, or of a name that objects of the language itself have."""

    symbol: Symbol
    document: Document
    use: Use
    within: Symbol | None
    sure: Sure


T = TypeVar("T")


class _once(cached_property[T]):  # noqa: N801 - as the one that it is
    """With a lock for each code base: in Python 3.11 there is one for all of them, later there is none."""

    def __get__(self, codebase: Codebase, owner: type[Any] | None = None) -> T:  # type: ignore[override]
        name = self.func.__name__
        with codebase.computing:
            if name not in vars(codebase):
                vars(codebase)[name] = self.func(codebase)
            return cast(T, vars(codebase)[name])


class Codebase:
    """``outlines`` by the ids of ``documents``; those without one have no symbols."""

    def __init__(self, documents: Sequence[Document], outlines: Mapping[str, Outline]) -> None:
        self.documents = tuple(
            sorted((d for d in documents if d.id in outlines), key=lambda document: document.source)
        )
        self.outlines = tuple(outlines[document.id] for document in self.documents)
        self.paths = _below([document.source for document in self.documents])
        self.computing = threading.RLock()
        self._first: list[int] = []
        self._files: list[int] = []  # by symbol
        self.symbols: list[Symbol] = []
        for file, (document, outline) in enumerate(zip(self.documents, self.outlines, strict=True)):
            self._first.append(len(self.symbols))
            self._files += [file] * len(outline.definitions)
            for number, each in enumerate(outline.definitions, len(self.symbols)):
                self.symbols.append(Symbol(document, each, outline.qualified(each), number))
        self._file = {document.id: number for number, document in enumerate(self.documents)}

    @_once
    def scopes(self) -> Scopes:
        modules = [Module(p, o.module, o.language) for p, o in zip(self.paths, self.outlines, strict=True)]
        return Scopes(self.outlines, Modules(modules))

    def document(self, document_id: str) -> Document:
        """Raises KeyError for one that is no code."""
        return self.documents[self._file[document_id]]

    def path(self, document_id: str) -> str:
        """Of a file, from the folder that all of them are in. Raises KeyError for one that is no code."""
        return self.paths[self._file[document_id]]

    def file_of(self, symbol: int) -> int:
        """The place of a symbol's file among the documents."""
        return self._files[symbol]

    def of(self, document_id: str) -> list[Symbol]:
        """The symbols of a file, in its order."""
        file = self._file.get(document_id)
        if file is None:
            return []
        first = self._first[file]
        return self.symbols[first : first + len(self.outlines[file].definitions)]

    def named(self, name: str) -> list[Symbol]:
        """Those called exactly so: by the name, or by the end of what is qualified."""
        parts = _parts(name)
        if not parts:
            return []
        found = (self.symbols[number] for number in self._by_name.get(parts[-1], ()))
        return [s for s in found if len(parts) == 1 or _parts(s.qualified)[-len(parts) :] == parts]

    def find(self, query: str, *, kind: DefinitionKind | None = None, limit: int = 20) -> list[Symbol]:
        """Best first: those called exactly so (``run``, ``Flask.run``, ``flask.app.Flask.run``), then without regard to
        capitals and underscores, then those that begin with it or hold its words, then what is spelled alike."""
        exact = {symbol.number for symbol in self.named(query)}
        ranks = _likeness(query, self._folded_names)
        if len(ranks) < limit:
            alike = process.extract(
                _folded(query), self._folded_names, scorer=fuzz.ratio, score_cutoff=_ALIKE, limit=limit
            )
            ranks = {name: score / 100 for _, score, name in alike} | ranks
        ranked = sorted(
            (number not in exact, -rank, not symbol.definition.public, len(symbol.qualified), number)
            for name, rank in ranks.items()
            for number in self._by_name[name]
            if (symbol := self.symbols[number]) and (kind is None or symbol.definition.kind == kind)
        )
        return [self.symbols[number] for *_, number in ranked[:limit]]

    def references(self, symbol: Symbol, kinds: Sequence[UseKind] = ()) -> list[Reference]:
        """Where a symbol is used, surest first, then by file and line. Its callers are those of kind ``call``, its
        implementers those of kind ``inherit``."""
        found = []
        for file, use in self._used.get(symbol.definition.name, ()):
            if not kinds or use.kind in kinds:
                numbers, sure = self.scopes.meaning(file, use)
                if symbol.number in numbers:
                    found.append(self._reference(symbol, file, use, sure))
        return sorted(found, key=lambda each: (_SURE.index(each.sure), each.document.source, each.use.line))

    def uses(self, symbol: Symbol, kinds: Sequence[UseKind] = ()) -> list[Reference]:
        """What a symbol uses of this code base, itself or in what it holds, in the order of its lines."""
        file, path = self._file[symbol.document.id], symbol.definition.path
        definitions = self.outlines[file].definitions
        inner = {n for n, each in enumerate(definitions) if each.path[: len(path)] == path}
        found = [
            self._reference(self.symbols[number], file, use, sure)
            for use in self.outlines[file].uses
            if use.within in inner and (not kinds or use.kind in kinds)
            for numbers, sure in (self.scopes.meaning(file, use),)
            for number in numbers
            if number - self._first[file] not in inner
        ]
        return sorted(found, key=lambda each: (each.use.line, _SURE.index(each.sure), each.symbol.number))

    def used_by(self, document_id: str) -> list[tuple[Document, float]]:
        """The files that a file uses, each with its share of all that it does."""
        return self._shares(document_id, self._uses)

    def users_of(self, document_id: str) -> list[tuple[Document, float]]:
        """The files that use a file, each with its share of all that do."""
        return self._shares(document_id, self._users)

    @_once
    def links(self) -> dict[tuple[int, int], float]:
        """By file and symbol of another one how much the file uses it: 1 for each use that is sure, less for one that
        is likely."""
        found: dict[tuple[int, int], float] = defaultdict(float)
        for file, outline in enumerate(self.outlines):
            aliases = {each.alias for each in outline.imports}
            for use in outline.uses:
                if use.name in self._by_name or use.name in aliases:
                    numbers, sure = self.scopes.meaning(file, use)
                    for number in numbers if sure != "possible" else ():
                        if self._files[number] != file:
                            found[file, number] += _WORTH[sure]
        return found

    def used_by_symbol(self, symbol: Symbol) -> list[tuple[Document, float]]:
        """The other files that a symbol uses, itself or in what it holds, each with its share of all that it does."""
        weights: dict[int, float] = defaultdict(float)
        for each in self.uses(symbol):
            if each.sure != "possible" and each.symbol.document.id != symbol.document.id:
                weights[self.file_of(each.symbol.number)] += _WORTH[each.sure]
        return self._of_whole(_damped(weights))

    def _shares(
        self, document_id: str, neighbours: Mapping[int, Mapping[int, float]]
    ) -> list[tuple[Document, float]]:
        return self._of_whole(neighbours.get(self._file.get(document_id, -1), {}))

    def _of_whole(self, of: Mapping[int, float]) -> list[tuple[Document, float]]:
        whole = sum(of.values())
        return [(self.documents[file], weight / whole) for file, weight in of.items()]

    @_once
    def _uses(self) -> dict[int, dict[int, float]]:
        """By file, and by the file that it uses."""
        sums: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        for (file, symbol), weight in self.links.items():
            sums[file][self._files[symbol]] += weight
        return {file: _damped(of) for file, of in sums.items()}

    @_once
    def _users(self) -> dict[int, dict[int, float]]:
        users: dict[int, dict[int, float]] = defaultdict(dict)
        for file, of in self._uses.items():
            for to, weight in of.items():
                users[to][file] = weight
        return users

    @_once
    def _by_name(self) -> dict[str, list[int]]:
        names: dict[str, list[int]] = defaultdict(list)
        for symbol in self.symbols:
            names[symbol.definition.name].append(symbol.number)
        return dict(names)

    @_once
    def _folded_names(self) -> dict[str, str]:
        return {name: _folded(name) for name in self._by_name}

    @_once
    def _used(self) -> dict[str, list[tuple[int, Use]]]:
        """By the name of what they may mean: an import may call it otherwise."""
        used: dict[str, list[tuple[int, Use]]] = defaultdict(list)
        for file, outline in enumerate(self.outlines):
            aliases = {
                each.alias: each.name for each in outline.imports if each.name not in ("", "*", each.alias)
            }
            for use in outline.uses:
                used[aliases.get(use.name, use.name) if not use.qualifier else use.name].append((file, use))
            for each in outline.imports:
                if each.name not in ("", "*"):
                    used[each.name].append((file, Use(each.alias, "", "import", each.line, -1)))
        return used

    def _reference(self, symbol: Symbol, file: int, use: Use, sure: Sure) -> Reference:
        within = self.symbols[self._first[file] + use.within] if use.within >= 0 else None
        return Reference(symbol, self.documents[file], use, within, sure)


def _damped(weights: Mapping[int, float]) -> dict[int, float]:
    """What uses something often says not much more of it than what uses it once."""
    return {to: weight**0.5 for to, weight in weights.items()}


def _likeness(query: str, names: Mapping[str, str]) -> dict[str, float]:
    """Of names, each given with its letters alone, those like the query: 4 for the same letters, 3 for a beginning,
    2 for all words of it."""
    wanted = _folded((_parts(query) or [query])[-1])
    words = [word.lower() for word in _WORDS.findall(query)]
    ranks: dict[str, float] = {}
    for name, folded in names.items() if wanted else ():
        if folded.startswith(wanted):
            ranks[name] = 4 if folded == wanted else 3
        elif all(word in folded for word in words) and set(words) <= {
            w.lower() for w in _WORDS.findall(name)
        }:
            ranks[name] = 2
    return ranks


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _parts(name: str) -> list[str]:
    return [part for part in _SEPARATOR.split(name.strip().removesuffix("()")) if part]


def _below(sources: Sequence[str]) -> tuple[str, ...]:
    """Paths of URIs from the folder that all of them are in."""
    paths = [unquote(urlsplit(source).path) for source in sources]
    if not all(path.startswith("/") for path in paths):
        return tuple(paths)
    top = commonpath([str(PurePosixPath(path).parent) for path in paths]) if paths else ""
    return tuple(path[len(top) :].lstrip("/") for path in paths)
