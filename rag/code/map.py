"""A map of a code base that fits a budget: its folders, and of its most used files the definitions that matter. Pure.

The same code base gives the same map, so that one that stands at the beginning of every prompt stays in the cache.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rag.code.codebase import Codebase, Symbol
from rag.code.graph import Ranks, is_test, rank

Count = Callable[[Sequence[str]], list[int]]

# Parts of the budget for the folders, and for where programs begin and what packages offer; the files take the rest.
_FOLDERS, _DOORS = 0.15, 0.2
_WIDEST = 110  # characters of a signature
# A file's best definitions: at most so many, so that a large one does not fill the map.
_OF_FILE = 12
# What programs begin with, and what offers the names of a package, by file name.
_ENTRIES: tuple[str, ...] = (
    "__main__.py",
    "main.py",
    "manage.py",
    "wsgi.py",
    "asgi.py",
    "cli.py",
    "app.py",
    "index.js",
    "index.ts",
)
_ENTRIES += (
    "main.js",
    "main.ts",
    "server.js",
    "server.ts",
    "main.go",
    "main.rs",
    "lib.rs",
    "main.c",
    "main.cpp",
)
_ENTRIES += ("Main.java", "Program.cs", "main.swift", "Main.kt", "main.rb")
_PACKAGES = ("__init__.py", "index.js", "index.ts", "mod.rs", "lib.rs")


@dataclass(frozen=True, slots=True)
class CodeMap:
    """``text`` is at most ``budget`` tokens; of ``files`` in the code base ``shown`` are in it."""

    text: str
    tokens: int
    budget: int
    files: int
    shown: int


def code_map(codebase: Codebase, budget: int, count: Count, focus: Collection[str] = ()) -> CodeMap:
    """The same for the same code base. ``focus``: ids of documents that the ranking begins at; all of them where
    none is given."""
    ranks = rank(codebase, focus)
    page = _Page(budget, count)
    page.add([_title(codebase)])
    page.section("Folders", _folders(codebase), _FOLDERS)
    page.section("Where programs begin", _entries(codebase, ranks), _DOORS / 2)
    page.section("What packages offer", _offers(codebase, ranks), _DOORS / 2)
    shown = page.files(_files(codebase, ranks))
    return CodeMap(page.text, page.tokens, budget, len(codebase.documents), shown)


class _Page:
    """Lines as long as they fit."""

    def __init__(self, budget: int, count: Count) -> None:
        self._budget, self._count = budget, count
        self._lines: list[str] = []
        self.tokens = 0

    @property
    def text(self) -> str:
        return "".join(self._lines)

    def add(self, lines: Sequence[str], most: int | None = None) -> int:
        """How many of them fit, into ``most`` tokens of what is left."""
        left = self._budget - self.tokens
        room, taken = left if most is None else min(most, left), 0
        whole = [f"{line}\n" for line in lines]
        for line, tokens in zip(whole, self._count(whole), strict=True):
            if tokens > room:
                break
            room -= tokens
            taken += 1
            self.tokens += tokens
            self._lines.append(line)
        return taken

    def section(self, title: str, lines: Sequence[str], share: float) -> None:
        if lines:
            self.add(["", f"{title}:", *lines], int(share * self._budget))

    def files(self, files: Iterator[list[str]]) -> int:
        """Each with as many of its lines as fit, until one has no room for a single definition."""
        shown = 0
        for lines in files:
            taken = self.add(lines if shown else ["", "Files, the most used ones first:", *lines])
            if taken < 2:
                break
            shown += 1
        return shown


def _title(codebase: Codebase) -> str:
    languages = Counter(outline.language for outline in codebase.outlines).most_common(5)
    said = ", ".join(f"{count:,} {language}" for language, count in languages)
    return f"Map of a code base: {len(codebase.documents):,} files ({said}), {len(codebase.symbols):,} definitions."


def _folders(codebase: Codebase) -> list[str]:
    """The folders of the upper levels with how many files are below each, those with most first."""
    below: Counter[str] = Counter()
    for path in codebase.paths:
        for folder in PurePosixPath(path).parents:
            if folder.parts and len(folder.parts) <= 3:
                below[str(folder)] += 1
    kept = {folder for folder, _ in sorted(below.items(), key=lambda each: (-each[1], each[0]))[:60]}
    kept = {folder for folder in kept if str(PurePosixPath(folder).parent) in {*kept, "."}}
    return [
        f"{'  ' * (len(PurePosixPath(f).parts) - 1)}{PurePosixPath(f).name}/ {below[f]:,}"
        for f in sorted(kept)
    ]


def _entries(codebase: Codebase, ranks: Ranks) -> list[str]:
    found = [
        n
        for n, path in enumerate(codebase.paths)
        if PurePosixPath(path).name in _ENTRIES and not is_test(path)
    ]
    return [codebase.paths[number] for number in _best(found, ranks)]


def _offers(codebase: Codebase, ranks: Ranks) -> list[str]:
    """Of each package the public names that its own file brings together."""
    offers: dict[int, list[str]] = defaultdict(list)
    for number, (path, outline) in enumerate(zip(codebase.paths, codebase.outlines, strict=True)):
        if PurePosixPath(path).name in _PACKAGES and not is_test(path):
            names = (each.alias for each in outline.imports if each.name not in ("", "*"))
            offers[number] += [name for name in dict.fromkeys(names) if not name.startswith("_")]
    return [
        f"{codebase.paths[n]}: {', '.join(offers[n])}" for n in _best([n for n in offers if offers[n]], ranks)
    ]


def _best(files: Sequence[int], ranks: Ranks) -> list[int]:
    return sorted(files, key=lambda number: (-ranks.files[number], number))


def _files(codebase: Codebase, ranks: Ranks) -> Iterator[list[str]]:
    for number in _best(range(len(codebase.documents)), ranks):
        symbols = codebase.of(codebase.documents[number].id)
        used = sorted(symbols, key=lambda each: (-ranks.symbols.get(each.number, 0.0), each.number))
        tests = is_test(codebase.paths[number])
        told = [s for s in used if s.number in ranks.symbols or (_is_door(s) and not tests)]
        chosen = _with_outer(symbols, told[:_OF_FILE])
        if chosen:
            yield [codebase.paths[number], *map(_line, chosen)]


def _is_door(symbol: Symbol) -> bool:
    return symbol.definition.public and len(symbol.definition.path) == 1


def _with_outer(symbols: Sequence[Symbol], chosen: Sequence[Symbol]) -> list[Symbol]:
    """In the file's order, each below what it is defined in."""
    paths = {
        path[: n + 1] for symbol in chosen for path in (symbol.definition.path,) for n in range(len(path))
    }
    return [symbol for symbol in symbols if symbol.definition.path in paths]


def _line(symbol: Symbol) -> str:
    each = symbol.definition
    signature = each.signature if len(each.signature) <= _WIDEST else f"{each.signature[: _WIDEST - 1]}…"
    return f"{'  ' * len(each.path)}{each.line}: {signature}"
