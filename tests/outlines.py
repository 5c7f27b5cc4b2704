"""Outlines written by hand, and the code base that they are."""

from __future__ import annotations

from dataclasses import replace

from fakes import document
from rag.code.codebase import Codebase
from rag.code.outline import Definition, DefinitionKind, Import, Outline, Use, UseKind
from rag.types import Document


def define(path: str, kind: DefinitionKind = "function", line: int = 1) -> Definition:
    names = tuple(path.split("."))
    return Definition(
        names, kind, line * 10, line * 10 + 9, line, line, f"def {names[-1]}()", "", names[-1][0] != "_"
    )


def use(name: str, within: int = -1, kind: UseKind = "call", line: int = 1) -> Use:
    qualifier, _, last = name.rpartition(".")
    return Use(last, qualifier, kind, line, within)


def file(path: str) -> Document:
    return replace(document(path), id=path, source=f"file:///work/{path}", code="python")


def base(**files: Outline) -> Codebase:
    """By module: ``app`` is app.py, ``pkg__util`` is pkg/util.py."""
    paths = {
        name.replace("__", "/").replace("INIT", "__init__") + ".py": outline
        for name, outline in files.items()
    }
    paths["zz/other.py"] = Outline("python", "zz.other")  # so that paths begin at the root
    return Codebase([file(path) for path in paths], paths)


def python(module: str, *parts: Definition | Use | Import) -> Outline:
    return Outline(
        "python",
        module,
        tuple(p for p in parts if isinstance(p, Definition)),
        tuple(p for p in parts if isinstance(p, Use)),
        tuple(p for p in parts if isinstance(p, Import)),
    )
