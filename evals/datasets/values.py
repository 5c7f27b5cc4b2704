"""What every adapter makes of its files."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self, TypeVar
from urllib.parse import quote

T = TypeVar("T")
RankingsKind = Literal["beir", "cosqa", "sweqa"]
CasesKind = Literal["squad", "hotpotqa", "financebench", "clapnq", "jsonl"]


@dataclass(frozen=True, slots=True)
class Record:
    """A document that is no file of its own: a paragraph, an abstract, a function."""

    id: str
    title: str
    text: str
    media_type: str = "text/plain"

    @property
    def uri(self) -> str:
        # The title is the whole path, so that rag.text.label says it once.
        return f"record:///{quote(self.title, safe='')}#{quote(self.id)}"


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents: records, ``files`` by the name that evidence calls them, or all of ``folder``, by their paths in
    it."""

    records: tuple[Record, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def names(self) -> dict[str, str]:
        """By source URI, what evidence calls a document."""
        records = {record.uri: record.id for record in self.records}
        below = [path for path in self.folder.rglob("*") if path.is_file()] if self.folder else []
        inside = {path.as_uri(): path.relative_to(self.folder).as_posix() for path in below if self.folder}
        return records | inside | {path.as_uri(): name for name, path in self.files.items()}


@dataclass(frozen=True, slots=True)
class Rankings:
    """Queries, and for each the grades of the records that are relevant to it. Only documents of ``types`` (endings)
    are ranked, where some are given."""

    kind: RankingsKind
    corpus: Corpus
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    types: tuple[str, ...] = ()

    def sample(self, limit: int | None, seed: int) -> Self:
        """At most ``limit`` queries, chosen by ``seed``, in their order."""
        chosen = chosen_of(list(self.queries), limit, seed)
        return replace(self, queries={id_: self.queries[id_] for id_ in chosen})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What has to be read to answer: words of a document, or one of its pages (from 1), or some of the document."""

    document: str
    text: str = ""
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A question. ``answers`` are alternatives; where there are none, the documents do not say."""

    id: str
    question: str
    answers: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Cases:
    kind: CasesKind
    corpus: Corpus
    cases: tuple[Case, ...]

    def sample(self, limit: int | None, seed: int) -> Self:
        """At most ``limit`` cases, chosen by ``seed``, in their order. All documents stay."""
        return replace(self, cases=tuple(chosen_of(list(self.cases), limit, seed)))


def chosen_of(all_: list[T], limit: int | None, seed: int) -> list[T]:
    if limit is None or limit >= len(all_):
        return all_
    return [all_[at] for at in sorted(random.Random(seed).sample(range(len(all_)), limit))]
