"""FinanceBench: pdfs/ and a *questions.jsonl. https://github.com/patronus-ai/financebench

Evidence is a page: its text there comes from another reader than ours.
"""

from __future__ import annotations

from pathlib import Path

from evals.datasets.reading import jsonl, reading
from evals.datasets.values import Case, Cases, Corpus, Evidence
from rag.errors import BadRequest


def is_financebench(folder: Path) -> bool:
    return (folder / "pdfs").is_dir() and any(folder.glob("*questions.jsonl"))


def load(folder: Path) -> Cases:
    (path, *others) = sorted(folder.glob("*questions.jsonl"))
    if others:
        raise BadRequest(f"{folder} holds {len(others) + 1} files of questions; one is expected.")
    files = {pdf.stem: pdf.resolve() for pdf in sorted((folder / "pdfs").glob("*.pdf"))}
    cases = []
    for line, row in jsonl(path):
        with reading(path, line):
            pages = {
                (each.get("doc_name") or row["doc_name"], int(each["evidence_page_num"]) + 1)
                for each in row["evidence"]
            }
            if missing := {name for name, _ in pages} - files.keys():
                raise ValueError(f"{', '.join(sorted(missing))} is not in {folder / 'pdfs'}")
            evidence = tuple(Evidence(name, page=page) for name, page in sorted(pages))
            cases.append(Case(row["financebench_id"], row["question"], (row["answer"],), evidence))
    return Cases("financebench", Corpus(files=files), tuple(cases))
