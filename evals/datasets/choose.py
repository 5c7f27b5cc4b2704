"""Which adapter reads a file or folder: decided by what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evals.datasets import beir, clapnq, cosqa, financebench, hotpotqa, plain, squad, sweqa
from evals.datasets.values import Cases, CasesKind, Rankings
from rag.errors import BadRequest

_BY_SUFFIX: dict[str, CasesKind] = {".json": "squad", ".jsonl": "jsonl"}


def rankings(folder: Path, split: str | None = None) -> Rankings:
    """Raises BadRequest, also where the folder has none of the layouts."""
    if beir.is_beir(folder):
        return beir.load(folder, split)
    if cosqa.is_cosqa(folder):
        return cosqa.load(folder, split)
    raise BadRequest(
        f"{folder} is no folder of rankings.",
        "It holds corpus.jsonl, queries.jsonl and qrels/ (BEIR), or code_idx_map.txt (CoSQA); see docs/evals.md.",
    )


def code(
    folder: Path, sources: Path | None = None, project: str | None = None, split: str | None = None
) -> dict[str, Rankings]:
    """By project. Raises BadRequest, also where the folder has none of the layouts, or one without a use for an
    option that is given."""
    if not sweqa.is_sweqa(folder):
        found = rankings(folder, split)
        _refuse(folder, found.kind, {"--code": sources, "--project": project})
        return {found.kind: found}
    _refuse(folder, "sweqa", {"--split": split})
    if sources is None:
        raise BadRequest(
            f"{folder} holds questions on code that it does not hold.",
            "Say with --code where the source distributions lie, unpacked, as flask-3.1.1/.",
        )
    return sweqa.load(folder, sources, project)


def cases(path: Path, kind: CasesKind | None = None, documents: Path | None = None) -> Cases:
    """Raises BadRequest, also where the file or folder has none of the layouts, or one that has no use for
    ``documents``."""
    chosen = kind or _kind(path)
    if chosen and chosen != "jsonl":
        _refuse(path, chosen, {"--documents": documents})
    if chosen == "hotpotqa":
        return hotpotqa.load(path, None)
    if chosen == "financebench":
        return financebench.load(path)
    if chosen == "clapnq":
        return clapnq.load(path)
    if chosen == "squad":
        return squad.load(path)
    if chosen == "jsonl":
        return plain.load(path, documents or path.parent / "documents")
    raise BadRequest(
        f"{path} is none of the layouts of questions.",
        "SQuAD 2.0 (.json), one's own (.jsonl), or a folder as HotpotQA, FinanceBench or CLAPNQ; see docs/evals.md.",
    )


def _kind(path: Path) -> CasesKind | None:
    if path.is_file():
        return _BY_SUFFIX.get(path.suffix.lower())
    if hotpotqa.is_hotpotqa(path):
        return "hotpotqa"
    if financebench.is_financebench(path):
        return "financebench"
    return "clapnq" if clapnq.is_clapnq(path) else None


def _refuse(path: Path, kind: str, options: Mapping[str, object]) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise BadRequest(
            f"{path} is laid out as {kind}, which has no use for {' and '.join(given)}.", "Leave that out."
        )
