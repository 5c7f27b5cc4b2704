"""CoSQA: questions to the Python functions that answer them. https://github.com/Jun-jie-Huang/CoCLR"""

from __future__ import annotations

from pathlib import Path

from evals.datasets.reading import json_of, reading
from evals.datasets.values import Corpus, Rankings, Record
from rag.errors import BadRequest

MAP = "code_idx_map.txt"


def is_cosqa(folder: Path) -> bool:
    return (folder / MAP).is_file()


def load(folder: Path, split: str | None) -> Rankings:
    there = sorted(folder.glob(f"cosqa-retrieval-{split or ''}*.json"))
    if len(there) != 1:
        names = ", ".join(path.name for path in sorted(folder.glob("cosqa-retrieval-*.json")))
        raise BadRequest(
            f"{folder} holds {names or 'no questions'}.", "Name one of them with --split, as dev."
        )
    with reading(folder / MAP):
        functions = tuple(
            Record(str(number), "", code, "text/x-python")
            for code, number in json_of(folder / MAP).items()
            if code.strip()
        )
    with reading(there[0]):
        rows = json_of(there[0])
        queries = {str(row["idx"]): str(row["doc"]) for row in rows}
        relevant = {str(row["idx"]): {str(row["retrieval_idx"]): 1} for row in rows}
    return Rankings("cosqa", Corpus(functions), queries, relevant)
