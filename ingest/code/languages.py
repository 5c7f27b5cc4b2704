"""The programming languages that openbook knows the structure of, and which of them a file is written in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from ingest.media_types import SNIFF, by_name, sniffed

Public = Literal["underscore", "capital", "pub", "export", "static", "words", "all"]
Module = Literal["python", "jvm", "path"]


@dataclass(frozen=True, slots=True)
class Language:
    """``grammar`` is tree-sitter's name for it; ``queries`` are files in queries/, read as one. ``imports`` names how
    an import is written (imports.py), ``public`` what makes a name public (public.py), ``module`` how a file is
    called (modules.py)."""

    name: str
    media_type: str
    grammar: str
    queries: str
    imports: str = ""
    public: Public = "all"
    module: Module = "path"


LANGUAGES = (
    Language("python", "text/x-python", "python", "python", "python", "underscore", "python"),
    Language(
        "javascript",
        "text/javascript",
        "javascript",
        "javascript javascript_only jsx",
        "javascript",
        "export",
    ),
    Language("typescript", "text/typescript", "typescript", "javascript typescript", "javascript", "export"),
    Language("java", "text/x-java", "java", "java", "java", "words", "jvm"),
    Language("kotlin", "text/x-kotlin", "kotlin", "kotlin", "java", "words", "jvm"),
    Language("scala", "text/x-scala", "scala", "scala", "scala", "words", "jvm"),
    Language("go", "text/x-go", "go", "go", "go", "capital"),
    Language("rust", "text/x-rust", "rust", "rust", "rust", "pub"),
    Language("c", "text/x-c", "c", "c", "c", "static"),
    Language("cpp", "text/x-c++", "cpp", "c cpp", "c", "static"),
    Language("cuda", "text/x-cuda", "cuda", "c cpp", "c", "static"),
    Language("csharp", "text/x-csharp", "csharp", "csharp", "csharp", "words"),
    Language("ruby", "text/x-ruby", "ruby", "ruby", "ruby", "underscore"),
    Language("php", "text/x-php", "php", "php", "php", "words"),
    Language("swift", "text/x-swift", "swift", "swift", "swift", "words"),
    Language("bash", "text/x-shellscript", "bash", "bash", "bash"),
    Language("sql", "text/x-sql", "sql", "sql"),
    Language("css", "text/css", "css", "css", "css"),
    Language("lua", "text/x-lua", "lua", "lua", "lua", "underscore"),
    Language("r", "text/x-r", "r", "r", "r"),
)
_BY_NAME = {language.name: language for language in LANGUAGES}
_BY_MEDIA_TYPE = {language.media_type: language for language in LANGUAGES}
_TSX = replace(_BY_NAME["typescript"], grammar="tsx", queries="javascript typescript jsx")

_OF_CPP = re.compile(
    r"^\s*(?:class\s+\w+|namespace\b|template\s*<|using\s+\w|public:|private:)", re.MULTILINE
)


def named(name: str) -> Language | None:
    return _BY_NAME.get(name)


def of_media_type(media_type: str) -> Language | None:
    return _BY_MEDIA_TYPE.get(media_type)


def language_of(name: str, text: str) -> Language | None:
    """By the file's name, or else by its first line; a C header may turn out to be one of C++."""
    found = _BY_MEDIA_TYPE.get(by_name(name) or sniffed(text[:SNIFF].encode()))
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".tsx":
        return _TSX
    return _BY_NAME["cpp"] if suffix == ".h" and _OF_CPP.search(text) else found
