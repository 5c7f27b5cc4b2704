"""What a parser finds in a file of code beside its text: what is defined there, and what is used of elsewhere.

An outline knows its own file alone; which definition a name means is told by all of them together (codebase.py).
Its parts are named tuples, since a code base has hundreds of thousands of them, and those are read five times as fast.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

Row = TypeVar("Row", bound=tuple[Any, ...])

DefinitionKind = Literal[
    "class", "interface", "enum", "module", "function", "method", "constant", "variable", "type", "macro"
]
UseKind = Literal["call", "inherit", "import", "use", "fixture"]

SIGNATURE, DOC = 240, 240  # characters that are kept of each


class Definition(NamedTuple):
    """``path`` is what it is defined in, outermost first, and its own name last: ``("Flask", "run")``. Characters
    ``[start, end)`` of the text are all of it, with decorators and the comment right above; ``line`` is that of its
    name, ``line_end`` its last one. ``signature`` is on one line, ``doc`` the first sentence of its documentation.
    ``public`` as its language or its name has it."""

    path: tuple[str, ...]
    kind: DefinitionKind
    start: int
    end: int
    line: int
    line_end: int
    signature: str
    doc: str = ""
    public: bool = True

    @property
    def name(self) -> str:
        return self.path[-1]


class Use(NamedTuple):
    """``name`` stands on ``line`` behind ``qualifier`` (``self``, ``flask.json``, ``Flask()``, ``?`` for an object
    without a name, empty where there is none), in the definition with the index ``within`` (-1: in none). One for each
    name, qualifier, kind and definition: its first line. Those of kind ``import`` are made of imports where they are
    asked for; ``fixture`` is a parameter that pytest gives to a test
    (https://docs.pytest.org/en/stable/reference/fixtures.html)."""

    name: str
    qualifier: str
    kind: UseKind
    line: int
    within: int


class Import(NamedTuple):
    """``from module import name as alias``: ``name`` is empty for a whole module and ``*`` for all of it; ``alias``
    is what it is called in this file. ``module`` is as it is written there: ``.json``, ``./util``, ``fmt``."""

    module: str
    name: str
    alias: str
    line: int


@dataclass(frozen=True, slots=True)
class Outline:
    """``module`` is what the file is called in its language: ``flask.app``; else its path without extension.
    Definitions are sorted by start, an outer one before what it holds."""

    language: str
    module: str
    definitions: tuple[Definition, ...] = ()
    uses: tuple[Use, ...] = ()
    imports: tuple[Import, ...] = ()

    def qualified(self, definition: Definition) -> str:
        """``flask.app.Flask.run``."""
        return ".".join((self.module, *definition.path))


def dump(outline: Outline) -> str:
    """As `load` reads it. Columns, since the names of fields would be most of it."""
    return json.dumps(
        [
            outline.language,
            outline.module,
            _columns(outline.definitions, len(Definition._fields)),
            _columns(outline.uses, len(Use._fields)),
            _columns(outline.imports, len(Import._fields)),
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    )


def load(text: str) -> Outline:
    language, module, definitions, uses, imports = json.loads(text)
    return Outline(
        language,
        module,
        _rows(Definition, [map(tuple, definitions[0]), *definitions[1:]]),
        _rows(Use, uses),
        _rows(Import, imports),
    )


def _rows(kind: type[Row], columns: Sequence[Iterable[Any]]) -> tuple[Row, ...]:
    # Its constructor takes three times as long as the tuple that it makes.
    return tuple(map(partial(tuple.__new__, kind), zip(*columns, strict=True)))


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[Any]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
