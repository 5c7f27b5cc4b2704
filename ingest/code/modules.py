"""What a file of code is called in its language, as far as its path tells. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

from ingest.code.languages import Language

# Folders that hold sources and are no part of a name.
_ROOTS = {"lib", "python"}
_JVM_ROOTS = {"main", "test", "java", "kotlin", "scala"}
_DEEP = 4  # folders; what is called src below is a part of a package


def module_of(name: str, language: Language) -> str:
    """``flask.app`` for ``flask-3.1.1/src/flask/app.py``: the given folder's name is left out. A package for its
    ``__init__.py``; of Java and its like the package that the file is in; else the path without extension."""
    path = _within(name)
    if language.module == "python":
        return _python(path, name)
    if language.module == "jvm":
        return ".".join(_below(path.parts[:-1], _JVM_ROOTS)) or path.stem
    return str(path.with_suffix(""))


def title_of(name: str, language: Language | None) -> str:
    """The module's name where its language has such, else the path from the given folder on."""
    if language is None or language.module == "path":
        return str(_within(name))
    if language.module == "jvm":
        return ".".join(_below((*_within(name).parts[:-1], _within(name).stem), _JVM_ROOTS))
    return module_of(name, language)


def _within(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    return PurePosixPath(*path.parts[1:]) if len(path.parts) > 1 else path


def _python(path: PurePosixPath, name: str) -> str:
    parts = _below(path.parts[:-1], _ROOTS)
    stem = () if path.stem == "__init__" else (path.stem,)
    return ".".join((*parts, *stem)) or PurePosixPath(name).parent.name or path.stem


def _below(parts: tuple[str, ...], roots: set[str]) -> tuple[str, ...]:
    """``packages/one/src/one/x`` begins at ``one``, but ``numpy/lib/x`` is all of it: what is no ``src`` is a root
    only where it stands first."""
    last = max((at for at, part in enumerate(parts[:_DEEP]) if part == "src"), default=-1)
    parts = parts[last + 1 :]
    for _ in range(2):  # main/java
        parts = parts[1:] if parts and parts[0] in roots else parts
    return parts
