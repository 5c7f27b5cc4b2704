"""SWE-QA: questions on a code base, and the files that their answers name. https://github.com/peng-weihan/SWE-QA-Bench

A folder of NAME.jsonl (a question a line) and file_qrels/NAME.tsv, which names files relative to a source distribution
of NAME. Those lie in another folder, unpacked: NAME-VERSION/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from evals.datasets.beir import graded
from evals.datasets.reading import jsonl, reading
from evals.datasets.values import Corpus, Rankings
from rag.errors import BadRequest

QRELS = "file_qrels"
_RARE = 0.05  # of the files named


def is_sweqa(folder: Path) -> bool:
    return (folder / QRELS).is_dir()


def load(folder: Path, code: Path, project: str | None = None) -> dict[str, Rankings]:
    """By project: ``project``, or else all. Queries without a file are left out."""
    there = sorted(path.stem for path in (folder / QRELS).glob("*.tsv"))
    chosen = [project] if project else there
    if not set(chosen) <= set(there):
        raise BadRequest(
            f"{folder} knows {', '.join(there) or 'no project'}, not {project}.", "Name one of them."
        )
    return {name: _project(folder, code, name) for name in chosen}


def _project(folder: Path, code: Path, name: str) -> Rankings:
    relevant = graded(folder / QRELS / f"{name}.tsv")
    path = folder / f"{name}.jsonl"
    queries = {}
    for line, row in jsonl(path):
        with reading(path, line):
            id_ = f"{name}-{line - 1:02}"  # from 0 on
            if id_ in relevant:
                queries[id_] = str(row["question"])
    corpus = Corpus(folder=_sources(code, name))
    return Rankings("sweqa", corpus, queries, relevant, types=_types(relevant))


def _types(relevant: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """The endings of the files that answers name: of code, mostly, and not of all that surrounds it."""
    endings = Counter(PurePosixPath(path).suffix[1:] for files in relevant.values() for path in files)
    return tuple(sorted(ending for ending, count in endings.items() if count > sum(endings.values()) * _RARE))


def _sources(code: Path, name: str) -> Path:
    found = sorted(path for path in code.glob(f"{name}-*") if path.is_dir())
    if len(found) != 1:
        raise BadRequest(
            f"{code} holds {len(found)} folders {name}-VERSION with the code of {name}.",
            f"Get one: pip download --no-deps --no-binary :all: {name}==VERSION, and unpack it there.",
        )
    return found[0].resolve()
