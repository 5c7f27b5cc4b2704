"""A language's grammar and query, loaded once for each process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Query, QueryCursor, Tree

from ingest.code.languages import Language

# Parts of one error; a query takes time by their square.
_MOST = 10_000

Match = dict[str, list[Node]]


@dataclass(frozen=True, slots=True)
class Loaded:
    grammar: Grammar
    query: Query


@cache
def load(language: Language) -> Loaded:
    from tree_sitter_language_pack import get_language

    grammar = get_language(language.grammar)  # type: ignore[arg-type] # one of the names it knows
    folder = resources.files("ingest.code") / "queries"
    return Loaded(
        grammar,
        Query(grammar, "\n".join((folder / f"{name}.scm").read_text() for name in language.queries.split())),
    )


def matches(data: bytes, language: Language) -> tuple[Tree, list[Match]] | None:
    """The tree, which lives as long as its nodes are used, and what the language's query finds in it; None for what is
    not this language at all."""
    loaded = load(language)
    # Of the bytes, not of a callback that reads them: that would be asked for each byte of a node's text. So there is
    # no time limit but the worker's; what is not code at all takes 25 s a megabyte.
    tree = Parser(loaded.grammar).parse(data)
    if any(node.is_error and node.child_count > _MOST for node in (tree.root_node, *tree.root_node.children)):
        return None
    return tree, [match for _, match in QueryCursor(loaded.query).matches(tree.root_node)]
