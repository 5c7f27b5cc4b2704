"""CLAPNQ: *_answerable.jsonl and *_unanswerable.jsonl, each question with its passage and gold sentences.

https://github.com/primeqa/clapnq. The passages of all questions are one corpus, each of them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evals.datasets.reading import jsonl, reading
from evals.datasets.values import Case, Cases, Corpus, Evidence, Record


def is_clapnq(folder: Path) -> bool:
    return any(folder.glob("clapnq*answerable.jsonl"))


def load(folder: Path) -> Cases:
    records: dict[tuple[str, str], Record] = {}
    cases = []
    for path in sorted(folder.glob("clapnq*answerable.jsonl")):
        for line, row in jsonl(path):
            with reading(path, line):
                ids = [_record(records, passage).id for passage in row["passages"]]
                answers = tuple(said for each in row["output"] if (said := each["answer"].strip()))
                evidence = tuple(dict.fromkeys(_evidence(row, ids))) if answers else ()
                cases.append(Case(row["id"], row["input"], answers, evidence))
    return Cases("clapnq", Corpus(tuple(records.values())), tuple(cases))


def _record(records: dict[tuple[str, str], Record], passage: Mapping[str, Any]) -> Record:
    key = (passage["title"], passage["text"])
    return records.setdefault(key, Record(f"passage-{len(records) + 1}", *key))


def _evidence(row: Mapping[str, Any], ids: list[str]) -> Iterator[Evidence]:
    for output in row["output"]:
        for sentence in output["selected_sentences"]:
            for id_, passage in zip(ids, row["passages"], strict=True):
                if sentence in passage["sentences"]:
                    yield Evidence(id_, sentence)
