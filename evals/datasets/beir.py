"""BEIR: corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv. https://github.com/beir-cellar/beir"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from evals.datasets.reading import jsonl, reading, tsv
from evals.datasets.values import Corpus, Rankings, Record
from rag.errors import BadRequest


def is_beir(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("corpus.jsonl", "queries.jsonl", "qrels"))


def load(folder: Path, split: str | None) -> Rankings:
    """Queries without a relevant document are left out, as the leaderboards do."""
    relevant = judgements(folder, split)
    queries = {}
    path = folder / "queries.jsonl"
    for line, row in jsonl(path):
        with reading(path, line):
            if (id_ := str(row["_id"])) in relevant:
                queries[id_] = str(row["text"])
    return Rankings("beir", Corpus(records(folder)), queries, relevant)


def records(folder: Path) -> tuple[Record, ...]:
    """Empty ones cannot be found and are left out."""
    made, path = [], folder / "corpus.jsonl"
    for line, row in jsonl(path):
        with reading(path, line):
            record = Record(str(row["_id"]), str(row.get("title") or ""), str(row["text"]))
        if record.text.strip():
            made.append(record)
    return tuple(made)


def judgements(folder: Path, split: str | None) -> Mapping[str, Mapping[str, int]]:
    return graded(_qrels(folder, split))


def graded(path: Path) -> Mapping[str, Mapping[str, int]]:
    """By query the documents that are relevant to it. Comments begin with a number sign, above the columns' names."""
    found: dict[str, dict[str, int]] = {}
    rows = ((line, row) for line, row in tsv(path) if row and not row[0].startswith("#"))
    for line, row in islice(rows, 1, None):
        with reading(path, line):
            query, document, grade = row[0], row[1], int(row[2])
        if grade > 0:
            found.setdefault(query, {})[document] = grade
    return found


def _qrels(folder: Path, split: str | None) -> Path:
    """``split``, or else test, or else the only one there is."""
    there = sorted(path.stem for path in (folder / "qrels").glob("*.tsv"))
    chosen = split or ("test" if "test" in there else there[0] if len(there) == 1 else None)
    if chosen not in there:
        raise BadRequest(
            f"{folder / 'qrels'} holds {', '.join(there) or 'no split'}, not {split or 'test'}.",
            "Name one with --split.",
        )
    return folder / "qrels" / f"{chosen}.tsv"
