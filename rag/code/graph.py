"""How much each file and each definition of a code base is used by the others. Pure.

Personalised PageRank (Page et al., "The PageRank Citation Ranking", 1999) over files: who uses a definition of another
file passes it a part of its own rank. What a definition is given by all of them is its own share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import rustworkx as rx

from rag.code.codebase import Codebase

# Tests use everything and nobody uses them: they say what matters, and less than the code itself does.
_TEST = re.compile(
    r"(?:^|/)(?:tests?|testing|spec|specs|__tests__|examples?|benchmarks?)/|(?:^|/|[._-])tests?[._]"
)
_OF_TESTS = 0.1
_DAMPING = 0.85


@dataclass(frozen=True, slots=True)
class Ranks:
    """``files`` by their place in the code base, together 1; ``symbols`` that others use, by number."""

    files: list[float]
    symbols: dict[int, float]


def is_test(path: str) -> bool:
    """By its path, as people name tests and examples."""
    return _TEST.search(path) is not None


def rank(codebase: Codebase, focus: Collection[str] = ()) -> Ranks:
    """``focus``: ids of documents that the ranking begins at; all files where none is given."""
    between: dict[tuple[int, int], float] = defaultdict(float)
    for (file, symbol), weight in codebase.links.items():
        # A file that uses something often says not much more of it than one that uses it once.
        between[file, codebase.file_of(symbol)] += weight**0.5
    graph = rx.PyDiGraph(multigraph=False)
    graph.add_nodes_from(range(len(codebase.documents)))
    graph.add_edges_from([(a, b, weight) for (a, b), weight in between.items()])
    ranks = rx.pagerank(graph, _DAMPING, weight_fn=float, personalization=_begun(codebase, focus))
    files = [ranks[file] for file in range(len(codebase.documents))]
    out: dict[int, float] = defaultdict(float)
    for (file, _), weight in between.items():
        out[file] += weight
    symbols: dict[int, float] = defaultdict(float)
    for (file, symbol), weight in codebase.links.items():
        symbols[symbol] += files[file] * weight**0.5 / out[file]
    return Ranks(files, dict(symbols))


def _begun(codebase: Codebase, focus: Collection[str]) -> dict[int, float]:
    if wanted := [n for n, document in enumerate(codebase.documents) if document.id in focus]:
        return dict.fromkeys(wanted, 1.0)
    return {number: _OF_TESTS if is_test(path) else 1.0 for number, path in enumerate(codebase.paths)}
