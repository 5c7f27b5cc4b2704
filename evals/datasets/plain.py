"""Questions of one's own: a JSONL file of question, answers and evidence, over files of one's own.

{"question": "...", "answers": ["..."], "evidence": [{"source": "reports/2024.pdf", "page": 12}]}

``source`` is a path below the folder of documents, or a file's name where only one has it. Evidence has a page
(from 1), a ``text`` to be found word for word, or neither: then some of the document has to be read. Without
answers, the right answer is that the documents do not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.datasets.reading import jsonl, reading
from evals.datasets.values import Case, Cases, Corpus, Evidence
from ingest.sources import find
from rag.errors import BadRequest


def load(path: Path, documents: Path) -> Cases:
    if not documents.exists():
        raise BadRequest(
            f"There are no documents for the questions of {path.name} in {documents}.",
            "Name the file or folder that holds them with --documents.",
        )
    documents = documents.resolve()  # as sources are
    root = documents if documents.is_dir() else documents.parent
    files = {source.path.relative_to(root).as_posix(): source.path for source in find([documents]).sources}
    cases = []
    for line, row in jsonl(path):
        with reading(path, line):
            cases.append(
                Case(
                    id=str(row.get("id", line)),
                    question=str(row["question"]),
                    answers=tuple(map(str, row.get("answers", ()))),
                    evidence=tuple(_evidence(each, files) for each in row.get("evidence", ())),
                )
            )
    return Cases("jsonl", Corpus(files=files), tuple(cases))


def _evidence(said: Mapping[str, Any], files: Mapping[str, Path]) -> Evidence:
    source, page = str(said["source"]), said.get("page")
    named = [source] if source in files else [name for name in files if name.endswith(f"/{source}")]
    if len(named) != 1:
        raise ValueError(f"{source} is the name of {len(named)} of the documents")
    return Evidence(named[0], str(said.get("text", "")), None if page is None else int(page))
