"""What a language's query found in a file, as definitions within each other, comments, imports and uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tree_sitter import Node

from ingest.code.grammar import Match

# Captures that are definitions, by how much they say: one name may be captured as several.
# A scope is none, but what is in it is called after it: Rust's impl, Swift's extension.
RANKS = {
    "variable": 0, "type": 1, "constant": 1, "function": 2, "class": 3, "method": 4, "interface": 4, "enum": 4,
    "module": 4, "macro": 4, "scope": 5,
}  # fmt: skip
_USES = {"use": 0, "type_use": 2, "call": 4, "inherit": 6, "fixture": 8}
HOLDERS = {"class", "interface", "enum", "scope"}  # what functions in them are methods of
VALUES = {"variable", "constant"}


@dataclass(slots=True)
class Tag:
    """Bytes ``[start, end)`` are all of a definition, ``inner`` what its signature begins with, ``body`` where that
    ends; ``parent`` the tag that it is in, once that is known."""

    kind: str
    name: Node
    start: int
    end: int
    inner: Node
    owner: Node | None = None
    parent: Tag | None = None


class UseTag(NamedTuple):
    """``rank`` orders what one word may be captured as."""

    rank: int
    kind: str
    name: Node
    qualifier: Node | None


@dataclass(slots=True)
class Tags:
    """Definitions outermost first. ``above`` are comments, and whatever else belongs to the definition right below it;
    ``bound`` are names that a function gives to what is its own."""

    definitions: list[Tag] = field(default_factory=list)
    above: list[Node] = field(default_factory=list)
    docs: list[Node] = field(default_factory=list)
    imports: list[Node] = field(default_factory=list)
    uses: list[UseTag] = field(default_factory=list)
    bound: list[Node] = field(default_factory=list)


def tags_of(matches: Iterable[Match]) -> Tags:
    definitions: dict[int, Tag] = {}
    uses: dict[int, UseTag] = {}
    labels: set[int] = set()  # names that mean nothing by themselves: those of keyword arguments
    found = Tags()
    for match in matches:
        for capture, nodes in match.items():
            if capture in _USES:
                _use(uses, capture, nodes, match.get("qualifier"))
            elif capture in RANKS:
                _define(definitions, capture, nodes[0], match)
            elif capture == "bound":
                found.bound += nodes
            elif capture == "label":
                labels.update(node.start_byte for node in nodes)
            elif capture == "above":
                found.above += nodes
            elif capture == "doc":
                found.docs += nodes
            elif capture == "import":
                found.imports += nodes
    found.definitions = _nested(definitions.values(), found.imports)
    labels |= {node.start_byte for node in found.bound}
    found.uses = [
        use
        for start, use in sorted(uses.items())
        if start not in definitions and not (use.kind == "use" and start in labels)
    ]
    return found


def _use(uses: dict[int, UseTag], capture: str, nodes: list[Node], qualifier: list[Node] | None) -> None:
    rank = _USES[capture] + (qualifier is not None)
    for node in nodes:
        start = node.start_byte
        known = uses.get(start)
        if known is None or known.rank < rank:
            uses[start] = UseTag(rank, capture, node, qualifier[0] if qualifier else None)


def _define(definitions: dict[int, Tag], kind: str, node: Node, match: Match) -> None:
    """A definition may be captured twice: alone, and with what is wrapped around it (a decorator, ``export``)."""
    owner = match["owner"][0] if "owner" in match else None
    for name in match.get("name", ()):
        new = Tag(kind, name, node.start_byte, node.end_byte, node, owner)
        known = definitions.get(name.start_byte)
        if known is not None:
            inner = min(known.inner, node, key=lambda each: each.end_byte - each.start_byte)
            kind_ = max(known.kind, kind, key=RANKS.__getitem__)
            start, end = min(known.start, new.start), max(known.end, new.end)
            new = replace(new, kind=kind_, start=start, end=end, inner=inner, owner=known.owner or owner)
        definitions[name.start_byte] = new


def _nested(found: Iterable[Tag], imports: list[Node]) -> list[Tag]:
    """Sorted, each with its parent. Left out: what is local to a function and no function or class itself, names that
    an import gives, and the structure that a C typedef names once more."""
    imported = {node.start_byte for node in imports}
    kept: list[Tag] = []
    open_: list[Tag] = []
    for tag in sorted(found, key=lambda tag: (tag.start, -tag.end, tag.name.start_byte)):
        while open_ and (open_[-1].end <= tag.start or _beside(open_[-1], tag)):
            open_.pop()
        tag.parent = open_[-1] if open_ else None
        if tag.kind in VALUES and (tag.start in imported or any(each.kind not in _OPEN for each in open_)):
            continue
        if tag.parent is not None and _renamed(tag.parent, tag):
            continue
        kept.append(tag)
        open_.append(tag)
    return kept


_OPEN = HOLDERS | {"module", "type"}


def _beside(left: Tag, right: Tag) -> bool:
    """``a, b = 1, 2``: both are the whole of it."""
    return (left.start, left.end) == (right.start, right.end)


def _renamed(outer: Tag, inner: Tag) -> bool:
    return outer.name.start_byte >= inner.end and outer.name.text == inner.name.text
