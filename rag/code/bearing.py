"""What the code itself says of where to look for a question: the symbols it names, and what hangs together. Pure.

A file that defines what is named bears on a question, and less so one that uses it, or that it uses; and so do the
files that the best ones use, or are used by. What each is worth was measured on questions about four code bases
(docs/log.md).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rag.code.codebase import Codebase
from rag.code.scopes import Sure

# What is added to the score of a passage, which is a cosine and up to as much again.
DEFINED, USED, USED_BY_NAMED, USES, USED_BY = 0.2, 0.06, 0.2, 0.4, 0.2
BEST = 3  # files of which the neighbours are looked at
# A name that more definitions bear tells none of them; of one that several bear, uses tell little.
_BEARERS, _TELLING = 5, 3
_WORTH: Mapping[Sure, float] = {"exact": 1.0, "likely": 0.5, "possible": 0.0}
_NAME = re.compile(r"[A-Za-z_][\w.]*\w")
_INNER_CAPITAL = re.compile(r"[a-z][A-Z]")


@dataclass(frozen=True, slots=True)
class Bearing:
    """What is to be added: to the passages that hold definitions, and to files, by the ids of their documents."""

    symbols: Mapping[int, float] = field(default_factory=dict)
    files: Mapping[str, float] = field(default_factory=dict)


def of_names(codebase: Codebase, question: str) -> Bearing:
    """By what a question names: ``Flask.run``, ``max_size``, ``getValue``, ``Flask``."""
    symbols: dict[int, float] = {}
    files: dict[str, float] = {}
    for name in _names(question):
        named = codebase.named(name)
        for symbol in named[:_BEARERS]:
            worth = DEFINED / len(named) ** 0.5  # each, of several bearers
            symbols[symbol.number] = max(worth, symbols.get(symbol.number, 0.0))
        for symbol in named if len(named) <= _TELLING else ():
            for reference in codebase.references(symbol):
                worth = USED * _WORTH[reference.sure] / len(named)
                id_ = reference.document.id
                if worth and id_ != symbol.document.id:
                    files[id_] = max(worth, files.get(id_, 0.0))
    return Bearing(symbols, files)


def of_neighbours(codebase: Codebase, best: Sequence[str], named: Mapping[int, float]) -> dict[str, float]:
    """By the files that bear most, and the definitions that are ``named`` (symbols of a Bearing): what is added to
    others that they use, or that use those files."""
    added: dict[str, float] = defaultdict(float)
    for id_ in best[:BEST]:
        for document, share in codebase.used_by(id_):
            added[document.id] += USES * share
        for document, share in codebase.users_of(id_):
            added[document.id] += USED_BY * share
    for number, worth in named.items():
        of_bearers = (worth / DEFINED) ** 2
        for document, share in codebase.used_by_symbol(codebase.symbols[number]):
            added[document.id] += USED_BY_NAMED * of_bearers * share
    return {id_: worth for id_, worth in added.items() if id_ not in best[:BEST]}


def _names(question: str) -> Iterable[str]:
    """Words that look like names in code; plain ones with a capital may be a class."""
    words = dict.fromkeys(_NAME.findall(question))
    return [word for word in words if _looks_like_code(word) or (word[0].isupper() and len(word) > 3)]


def _looks_like_code(word: str) -> bool:
    return "_" in word or "." in word or _INNER_CAPITAL.search(word) is not None
