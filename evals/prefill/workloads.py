"""The questions of a data set as people come with them: again, about the same documents, one after another. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

from evals.datasets.values import Case, Cases

WorkloadName = Literal["same", "documents", "overlap", "conversation", "random"]
NAMES: tuple[WorkloadName, ...] = get_args(WorkloadName)
TURNS = 3  # of a conversation, at most


@dataclass(frozen=True, slots=True)
class Turn:
    """``counted``: what is cached of it is what the workload is about; the others come before such a one.
    ``conversation`` is the same for all turns of one."""

    case: Case
    counted: bool = True
    conversation: str | None = None


def turns(name: WorkloadName, data: Cases, limit: int | None, groups: int, seed: int) -> list[Turn]:
    """In a random order. ``limit`` bounds the questions of ``overlap`` and of ``random``; ``groups`` those that are
    asked again, pairs and conversations, for which all cases are looked through."""
    shuffled = random.Random(seed).sample(data.cases, len(data.cases))
    make: dict[WorkloadName, Callable[[], Iterable[Turn]]] = {
        "same": lambda: _same(shuffled[:groups]),
        "documents": lambda: _documents(islice(_about_one(shuffled), groups)),
        "overlap": lambda: map(Turn, shuffled[:limit]),
        "conversation": lambda: _conversation(islice(_about_one(shuffled), groups)),
        "random": lambda: islice(_unrelated(shuffled, data), limit),
    }
    return list(make[name]())


def _same(cases: Iterable[Case]) -> Iterator[Turn]:
    for case in cases:
        yield Turn(case, counted=False)
        yield Turn(case)


def _documents(groups: Iterable[Sequence[Case]]) -> Iterator[Turn]:
    for first, second, *_ in groups:
        yield Turn(first, counted=False)
        yield Turn(second)


def _conversation(groups: Iterable[Sequence[Case]]) -> Iterator[Turn]:
    for number, group in enumerate(groups):
        for at, case in enumerate(group[:TURNS]):
            yield Turn(case, counted=at > 0, conversation=str(number))


def _about_one(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Groups of two or more cases whose evidence is in the same documents."""
    groups: dict[frozenset[str], list[Case]] = {}
    for case in cases:
        groups.setdefault(frozenset(each.document for each in case.evidence), []).append(case)
    return (group for about, group in groups.items() if about and len(group) > 1)


def _unrelated(cases: Sequence[Case], data: Cases) -> Iterator[Turn]:
    """A document's title is its topic: of SQuAD, the article that a paragraph is of."""
    titles = {record.id: record.title or record.id for record in data.corpus.records}
    seen: set[str] = set()
    for case in cases:
        topics = {titles.get(each.document, each.document) for each in case.evidence}
        if topics and not topics & seen:
            seen |= topics
            yield Turn(case)
