"""HotpotQA as HippoRAG samples it: a BEIR folder whose questions have answers, and answers.json.

Evidence is each supporting sentence within its paragraph, so that a question of two hops has two at least.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.datasets import beir
from evals.datasets.reading import json_of, jsonl, reading
from evals.datasets.values import Case, Cases, Corpus, Evidence

ANSWERS = "answers.json"


def is_hotpotqa(folder: Path) -> bool:
    return beir.is_beir(folder) and (folder / ANSWERS).is_file()


def load(folder: Path, split: str | None) -> Cases:
    records = beir.records(folder)
    relevant = beir.judgements(folder, split)
    titles = {record.id: record.title for record in records}
    with reading(folder / ANSWERS):
        facts = {row["question"]: _facts(row) for row in json_of(folder / ANSWERS)}
    cases, path = [], folder / "queries.jsonl"
    for line, row in jsonl(path):
        with reading(path, line):
            if row["_id"] not in relevant:
                continue
            said = facts.get(row["text"], {})
            evidence = [
                Evidence(document, text)
                for document in relevant[row["_id"]]
                for text in said.get(titles[document]) or [""]
            ]
            cases.append(Case(row["_id"], row["text"], tuple(row["answers"]), tuple(evidence)))
    return Cases("hotpotqa", Corpus(records), tuple(cases))


def _facts(row: Mapping[str, Any]) -> dict[str, list[str]]:
    """By title, the supporting sentences. Some name a sentence that the paragraph does not have."""
    paragraphs = dict(row["context"])
    found: dict[str, list[str]] = {}
    for title, number in row["supporting_facts"]:
        if title in paragraphs and number < len(paragraphs[title]):
            found.setdefault(title, []).append(paragraphs[title][number].strip())
    return found
