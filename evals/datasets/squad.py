"""SQuAD 2.0: one JSON file of articles, paragraphs and questions, about half of which have no answer."""

from __future__ import annotations

from pathlib import Path

from evals.datasets.reading import json_of, reading
from evals.datasets.values import Case, Cases, Corpus, Evidence, Record


def load(path: Path) -> Cases:
    """Evidence is the paragraph that a question was asked of; one without an answer has none."""
    records, cases = [], []
    with reading(path):
        for article in json_of(path)["data"]:
            title = str(article["title"]).replace("_", " ")
            for number, paragraph in enumerate(article["paragraphs"], 1):
                record = Record(f"{article['title']}#{number}", title, paragraph["context"])
                records.append(record)
                for asked in paragraph["qas"]:
                    answers = () if asked.get("is_impossible") else tuple(a["text"] for a in asked["answers"])
                    evidence = (Evidence(record.id, record.text),) if answers else ()
                    cases.append(Case(asked["id"], asked["question"], _once(answers), evidence))
    return Cases("squad", Corpus(tuple(records)), tuple(cases))


def _once(answers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(answers))
