"""What the code of a collection is asked for, as REST, the command line and MCP give it: small and flat.

``path`` is the file's absolute path, or the source's URI where it is no file; lines count from 1.

What a tool gives as a whole has no slots: the MCP SDK takes those for defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rag.code.outline import DefinitionKind, UseKind
from rag.code.scopes import Sure

Direction = Literal["to", "from"]


@dataclass(frozen=True, slots=True)
class SymbolView:
    """A definition; ``line`` is that of its name, ``line_end`` its last one."""

    name: str
    qualified: str
    kind: DefinitionKind
    path: str
    line: int
    line_end: int
    signature: str
    doc: str
    public: bool
    document_id: str


@dataclass(frozen=True)
class SymbolList:
    """Best first. ``next_offset`` is where more begin; None where these are the last."""

    collection: str
    query: str
    symbols: tuple[SymbolView, ...]
    offset: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class ReferenceView:
    """``symbol`` is used at ``path:line``, by ``within`` (None: at the top of the file), and defined at
    ``defined_at``."""

    path: str
    line: int
    kind: UseKind
    sure: Sure
    symbol: str
    within: str | None
    defined_at: str
    document_id: str


@dataclass(frozen=True)
class ReferenceList:
    """``direction`` ``to``: where ``symbol`` is used; ``from``: what it uses. ``total`` is of all pages."""

    collection: str
    symbol: str
    direction: Direction
    references: tuple[ReferenceView, ...]
    total: int
    offset: int
    next_offset: int | None


@dataclass(frozen=True)
class MapReply:
    """At most ``budget`` tokens; of ``files`` of code ``shown`` are in ``text``."""

    collection: str
    text: str
    tokens: int
    budget: int
    files: int
    shown: int


@dataclass(frozen=True)
class TextReply:
    """Lines ``line_start`` to ``line_end`` of a document that has ``lines``. What was asked for and did not fit
    the ``budget`` is in lines ``rest`` (``41-80``); a first line that alone is longer is ``cut_in_line``."""

    collection: str
    document_id: str
    path: str
    title: str
    symbol: str | None
    line_start: int
    line_end: int
    lines: int
    text: str
    tokens: int
    budget: int
    rest: str | None
    cut_in_line: bool = False
