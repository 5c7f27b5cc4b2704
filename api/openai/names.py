"""Collections as the ids of models, so that clients that know nothing but models can ask them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

PREFIX, JOIN, BY, SOURCES = "openbook/", "+", "@", ":sources"
MOST_JOINED = 6  # collections of which every pair is listed; any can be asked for


@dataclass(frozen=True, slots=True)
class Named:
    """``openbook/a+b@model:sources``; ``model`` is the one that is to answer, ``sources``: the answer's text ends with
    a list of them."""

    collections: tuple[str, ...]
    sources: bool = False
    model: str | None = None


def parse(model: str) -> Named | None:
    """None where it names no collections."""
    if not model.startswith(PREFIX):
        return None
    name = model.removeprefix(PREFIX)
    of, _, by = name.removesuffix(SOURCES).partition(BY)
    return Named(tuple(dict.fromkeys(of.split(JOIN))), name.endswith(SOURCES), by or None)


def listed(collections: Sequence[str], models: Sequence[str] = ()) -> Iterator[str]:
    """Each collection, by itself and with each of the models, and pairs where they are few."""
    yield from (PREFIX + name for name in collections)
    yield from (PREFIX + name + BY + model for name in collections for model in models)
    if len(collections) <= MOST_JOINED:
        yield from (PREFIX + JOIN.join(pair) for pair in combinations(collections, 2))
