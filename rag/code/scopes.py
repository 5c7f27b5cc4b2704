"""What a name in a file of code means: the definitions it is, as far as that can be told without running it. Pure.

A name is looked up as a reader would: in the definitions around it, in its file, in what the file imports, through
``self`` in the class and its bases. What is said of an object whose class is not known is any method of that name. What
a test of pytest takes is a fixture: of its file, of the ``conftest.py`` around it, or a plugin's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from rag.code.modules import Modules
from rag.code.outline import Definition, Import, Outline, Use

Sure = Literal["exact", "likely", "possible"]
Path = tuple[str, ...]  # the names of a definition and of those around it, outermost first

_SELVES = {"self", "cls", "this", "$this", "super()", "super", "Self", "@", "static", "parent"}
_TYPES = {"class", "interface", "enum", "module", "type"}
_DEPTH = 6  # of re-exports and of base classes
# Methods of a language's own types: an object that has one is most likely no instance of a class defined here.
_BUILT_IN = frozenset(
    name for kind in (str, bytes, list, dict, set, int, float, object) for name in dir(kind)
) | frozenset(
    "push slice filter map forEach includes then catch toString length size next get set close".split()
)


class Meaning(NamedTuple):
    """``symbols`` by number; none where it is not of this code base."""

    symbols: Sequence[int]
    sure: Sure


NOTHING = Meaning((), "exact")


class _Brought(NamedTuple):
    """What an import brings in: files or symbols; ``ours`` where it is of this code base at all."""

    files: Sequence[int]
    symbols: Sequence[int]
    ours: bool


class _Around(NamedTuple):
    """What is defined in the definitions around a use, inner ones first, each by name; and what names were found to
    mean there, by qualifier and name."""

    names: tuple[Mapping[str, int], ...]
    meanings: dict[tuple[str, str], Meaning]


class _Scope(NamedTuple):
    """A file: the number of its first symbol, its definitions by what they are in and name, its imports by alias;
    and what has been looked up in it."""

    first: int
    outline: Outline
    inside: dict[Path, dict[str, int]]
    imported: dict[str, Import]
    stars: tuple[Import, ...]
    bases: dict[int, list[Use]]  # by the definition within the file that inherits
    around: dict[Path, _Around]
    brought: dict[str, _Brought]

    def path(self, use: Use) -> Path:
        return self.outline.definitions[use.within].path if use.within >= 0 else ()


class Scopes:
    """``outlines`` in the order of the files in ``modules``; symbols are numbered through all of them."""

    def __init__(self, outlines: Sequence[Outline], modules: Modules) -> None:
        self._modules = modules
        self._scopes: list[_Scope] = []
        self._definitions: list[Definition] = []
        self._file_of: list[int] = []
        self._methods: dict[str, list[int]] = defaultdict(list)
        self._plain: dict[str, list[int]] = defaultdict(list)
        self._bases: dict[int, tuple[int, ...]] = {}
        self._fixtures: dict[int, dict[str, int]] = {}
        for file, outline in enumerate(outlines):
            self._scopes.append(_scope(outline, len(self._definitions)))
            for each in outline.definitions:
                of = self._methods if each.kind == "method" else self._plain
                of[each.name].append(len(self._definitions))
                self._definitions.append(each)
                self._file_of.append(file)

    def meaning(self, file: int, use: Use) -> Meaning:
        scope = self._scopes[file]
        if use.qualifier in _SELVES:
            return self._own(scope, use)
        if use.kind == "fixture":
            return self._fixture(file, scope, use)
        path = scope.path(use)
        around = self._around(scope, path[:-1] if use.kind == "inherit" else path)
        key = use.qualifier, use.name
        if (known := around.meanings.get(key)) is None:
            find = self._qualified if use.qualifier else self._bare
            known = around.meanings[key] = find(file, scope, around.names, use)
        return known

    def _bare(self, file: int, scope: _Scope, around: Sequence[Mapping[str, int]], use: Use) -> Meaning:
        for names in around:
            if (number := names.get(use.name)) is not None:
                return Meaning((number,), "exact")
        if use.name in scope.imported:
            return Meaning(self._brought(file, scope, use.name).symbols, "exact")
        if found := self._starred(file, scope, use.name, _DEPTH):
            return Meaning(found, "exact")
        if scope.outline.language == "python":
            return NOTHING  # what is neither defined nor imported is built in
        return self._any(self._plain, use.name)

    def _own(self, scope: _Scope, use: Use) -> Meaning:
        """Through ``self``: in the class around it and its bases; else any method of that name."""
        path = scope.path(use)
        while path:
            number = scope.inside.get(path[:-1], {}).get(path[-1])
            if number is not None and self._definitions[number].kind in _TYPES:
                above = use.qualifier.startswith(("super", "parent"))
                if (member := self._member(number, use.name, _DEPTH, own=not above)) is not None:
                    return Meaning((member,), "exact")
                break
            path = path[:-1]
        return self._any(self._methods, use.name)

    def _fixture(self, file: int, scope: _Scope, use: Use) -> Meaning:
        """One that takes what it is called itself overrides that of a file further out."""
        itself = scope.first + use.within
        for known in (file, *self._modules.above(file, "conftest")):
            number = self._fixtures_of(known).get(use.name)
            if number is not None and number != itself:
                return Meaning((number,), "exact")
        if use.name in scope.imported:
            return Meaning(self._brought(file, scope, use.name).symbols, "exact")
        everywhere = [n for n in self._plain.get(use.name, ()) if n != itself and self._is_fixture(n)]
        return Meaning(everywhere, "likely" if len(everywhere) == 1 else "possible")

    def _is_fixture(self, symbol: int) -> bool:
        definition = self._definitions[symbol]
        return self._fixtures_of(self._file_of[symbol]).get(definition.name) == symbol

    def _fixtures_of(self, file: int) -> dict[str, int]:
        """By name, outside of classes."""
        if file not in self._fixtures:
            scope = self._scopes[file]
            marked = {use.within for use in scope.outline.uses if use.name == "fixture"}
            at = {
                each.name: n
                for n, each in enumerate(scope.outline.definitions)
                if n in marked and len(each.path) == 1
            }
            self._fixtures[file] = {name: scope.first + n for name, n in at.items()}
        return self._fixtures[file]

    def _qualified(self, file: int, scope: _Scope, around: Sequence[Mapping[str, int]], use: Use) -> Meaning:
        """Any method of that name where it cannot be told what the qualifier is."""
        meaning = self._of_qualifier(file, scope, around, use)
        return meaning if meaning is not None else self._any(self._methods, use.name)

    def _of_qualifier(
        self, file: int, scope: _Scope, around: Sequence[Mapping[str, int]], use: Use
    ) -> Meaning | None:
        head, *rest = use.qualifier.split(".")
        head = head.removesuffix("()")  # what a class makes has the methods of the class
        for names in around:
            if (number := names.get(head)) is not None:
                return self._through((), (number,), [*rest, use.name])
        if head not in scope.imported:
            return None
        brought = self._brought(file, scope, head)
        if not brought.files and not brought.symbols:
            return None if brought.ours else NOTHING
        return self._through(brought.files, brought.symbols, [*rest, use.name])

    def _through(self, files: Sequence[int], symbols: Sequence[int], names: Sequence[str]) -> Meaning | None:
        """From files or symbols by names to what the last one is; None beyond an object or what a function gives."""
        for name in names:
            if any(self._definitions[symbol].kind not in _TYPES for symbol in symbols):
                return None
            inner = [n for symbol in symbols if (n := self._member(symbol, name, _DEPTH)) is not None]
            exported = [n for file in files for n in self._exported(file, name, _DEPTH)]
            files = [] if exported else [m for file in files for m in self._modules.inside(file, name)]
            symbols = tuple(dict.fromkeys((*inner, *exported)))
        return Meaning(symbols, "exact")

    def _any(self, named: Mapping[str, Sequence[int]], name: str) -> Meaning:
        numbers = named.get(name, ())
        return Meaning(numbers, "likely" if len(numbers) == 1 and name not in _BUILT_IN else "possible")

    def _around(self, scope: _Scope, path: Path) -> _Around:
        """One and the same for all that has the same names around it."""
        if (known := scope.around.get(path)) is None:
            names = scope.inside.get(path)
            outer = self._around(scope, path[:-1]) if path else _Around((), {})
            known = (
                outer if names is None or self._passed(scope, path) else _Around((names, *outer.names), {})
            )
            scope.around[path] = known
        return known

    def _passed(self, scope: _Scope, path: Path) -> bool:
        """In Python a class is no scope for what its methods hold."""
        if not path or scope.outline.language != "python":
            return False
        number = scope.inside.get(path[:-1], {}).get(path[-1])
        return number is not None and self._definitions[number].kind == "class"

    def _brought(self, file: int, scope: _Scope, alias: str) -> _Brought:
        if alias not in scope.brought:
            imported = scope.imported[alias]
            files, symbols = self._files(file, imported), self._imported(file, imported, _DEPTH)
            ours = bool(files or symbols or self._modules.meant(imported.module, file))
            scope.brought[alias] = _Brought(files, symbols, ours)
        return scope.brought[alias]

    def _files(self, file: int, imported: Import) -> Sequence[int]:
        """The files that an import is of, or that what it brings in is."""
        if imported.name:
            joint = "" if imported.module.endswith(".") else "."
            return self._modules.meant(f"{imported.module}{joint}{imported.name}", file)
        # "import a.b" brings in "a".
        whole = imported.module.startswith(f"{imported.alias}.")
        return self._modules.meant(imported.alias if whole else imported.module, file)

    def _imported(self, file: int, imported: Import, depth: int) -> Sequence[int]:
        """The definitions that an import brings in, through what other files import again."""
        if imported.name:
            for module in self._modules.meant(imported.module, file):
                if found := self._exported(module, imported.name, depth):
                    return found
        return ()

    def _exported(self, file: int, name: str, depth: int) -> Sequence[int]:
        scope = self._scopes[file]
        if (number := scope.inside.get((), {}).get(name)) is not None:
            return (number,)
        if depth and (again := scope.imported.get(name)):
            return self._imported(file, again, depth - 1)
        return self._starred(file, scope, name, depth - 1) if depth else ()

    def _starred(self, file: int, scope: _Scope, name: str, depth: int) -> Sequence[int]:
        for star in scope.stars:
            for module in self._modules.meant(star.module, file):
                if module != file and (found := self._exported(module, name, depth)):
                    return found
        return ()

    def _member(self, symbol: int, name: str, depth: int, *, own: bool = True) -> int | None:
        """Of a class, its own or what it inherits."""
        scope = self._scopes[self._file_of[symbol]]
        if own and (number := scope.inside.get(self._definitions[symbol].path, {}).get(name)) is not None:
            return number
        for base in self._bases_of(symbol) if depth else ():
            if (number := self._member(base, name, depth - 1)) is not None:
                return number
        return None

    def _bases_of(self, symbol: int) -> tuple[int, ...]:
        """The classes of this code base that one inherits from by name."""
        if symbol not in self._bases:
            self._bases[symbol] = ()  # of a class that inherits from itself
            file = self._file_of[symbol]
            scope = self._scopes[file]
            uses = scope.bases.get(symbol - scope.first, ())
            meanings = [self.meaning(file, use) for use in uses if use.qualifier not in _SELVES]
            exact = (number for meaning in meanings if meaning.sure == "exact" for number in meaning.symbols)
            self._bases[symbol] = tuple(number for number in dict.fromkeys(exact) if number != symbol)
        return self._bases[symbol]


def _scope(outline: Outline, first: int) -> _Scope:
    inside: dict[Path, dict[str, int]] = {}
    for number, each in enumerate(outline.definitions, first):
        inside.setdefault(each.path[:-1], {}).setdefault(each.name, number)
    bases: dict[int, list[Use]] = {}
    for use in outline.uses:
        if use.kind == "inherit":
            bases.setdefault(use.within, []).append(use)
    imported = {each.alias: each for each in outline.imports if each.name != "*"}
    stars = tuple(each for each in outline.imports if each.name == "*")
    return _Scope(first, outline, inside, imported, stars, bases, {}, {})
