"""What a file imports, from the words of each import. Pure: ``text`` is one import as it stands in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Name = tuple[str, str, str]  # module, name, alias: as in rag.code.outline.Import

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_HASH = re.compile(r"#[^\n]*")
_QUOTED = re.compile(r"""(?:"|'|`)([^"'`\n]+)(?:"|'|`)""")
_FROM = re.compile(r"from\s+([.\w]+)\s+import\s+(.*)", re.DOTALL)
_AS = re.compile(r"\s+as\s+|\s*=>\s*|\s*:\s*")


def names(text: str, style: str) -> list[Name]:
    return list(_STYLES[style](text))


def _python(text: str) -> Iterator[Name]:
    text = _HASH.sub("", text).replace("\\\n", " ")
    whole = _FROM.match(text)
    items = whole[2] if whole else text.removeprefix("import")
    for item in items.replace("(", " ").replace(")", " ").split(","):
        name, _, alias = (" ".join(item.split())).partition(" as ")
        if whole and name:
            yield whole[1], name, "" if name == "*" else alias or name
        elif name:
            yield name, "", alias or name


def _javascript(text: str) -> Iterator[Name]:
    """``import``, ``export ... from``, and ``const ... = require()``."""
    text = _COMMENT.sub("", text)
    module = (_QUOTED.findall(text) or [""])[-1]
    if not module:
        return
    head = re.split(r"\bfrom\b|=\s*require\b", text.replace("\n", " "))[0]
    head = re.sub(r"^\s*(?:import|export|const|let|var)\s+(?:type\s+)?", "", head).strip()
    braces = re.search(r"\{(.*)\}", head)
    for item in braces[1].split(",") if braces else ():
        name, *alias = _AS.split(item.strip().removeprefix("type "))
        if name:
            yield module, name, alias[0] if alias else name
    required = "require" in text and not text.lstrip().startswith(("import", "export"))
    for item in map(str.strip, re.sub(r"\{.*\}", "", head).split(",")):
        if item.startswith("*"):
            alias = _AS.split(item)[1:]
            yield (module, "", alias[0]) if alias else (module, "*", "")
        elif re.fullmatch(r"[\w$]+", item):
            yield module, "" if required else "default", item
    if not braces and _QUOTED.match(head):
        yield module, "", ""


def _java(text: str) -> Iterator[Name]:
    """Of Kotlin too: ``import static a.B.*;``, ``import a.b.C as D``."""
    text = " ".join(_COMMENT.sub("", text).rstrip(";\n ").split())
    path = text.removeprefix("import ").removeprefix("static ")
    path, _, alias = path.partition(" as ")
    module, _, name = path.replace(" ", "").rpartition(".")
    yield module or name, name if module else "", alias or ("" if name == "*" else name)


def _scala(text: str) -> Iterator[Name]:
    text = " ".join(_COMMENT.sub("", text).split()).removeprefix("import ")
    braces = re.fullmatch(r"(.*)\.\{(.*)\}", text)
    for item in braces[2].split(",") if braces else [text.rpartition(".")[2]]:
        name, *alias = re.split(r"\s*=>\s*|\s+as\s+", item.strip())
        name = "*" if name in ("_", "given") else name
        module = braces[1] if braces else text.rpartition(".")[0]
        yield module or name, name if module else "", alias[0] if alias else "" if name == "*" else name


def _go(text: str) -> Iterator[Name]:
    module = (_QUOTED.findall(text) or [""])[0]
    alias = text.partition('"')[0].strip()
    if alias == ".":
        yield module, "*", ""
    elif module and alias != "_":
        # v2, v3 ... are versions of the package, not its name.
        parts = [part for part in module.split("/") if not re.fullmatch(r"v\d+", part)] or [module]
        yield module, "", alias or parts[-1]


def _rust(text: str) -> Iterator[Name]:
    """``use a::{b, c::{self, d as e}};`` as if each were written out."""
    text = " ".join(_COMMENT.sub("", text).rstrip(";").split())
    text = re.sub(r"^(?:pub(?:\([^)]*\))?\s+)?(?:use|extern crate)\s+", "", text)
    prefixes: list[str] = []
    before = ""
    for part in map(str.strip, re.split(r"([{},])", text)):
        if part == "{":
            prefixes.append((prefixes[-1] if prefixes else "") + before)
            before = ""
        elif part in (",", "}"):
            if before:
                yield _of_rust((prefixes[-1] if prefixes else "") + before)
            before = ""
            if part == "}" and prefixes:
                prefixes.pop()
        elif part:
            before = part
    if before:
        yield _of_rust(before)


def _of_rust(path: str) -> Name:
    path, _, alias = path.partition(" as ")
    path = path.removesuffix("::self")
    module, _, name = path.rpartition("::")
    return module or name, name if module else "", alias or ("" if name == "*" else name)


def _c(text: str) -> Iterator[Name]:
    found = re.search(r'[<"]([^>"\n]+)[>"]', text)
    if found:
        yield found[1], "*", ""
    elif text.startswith("using "):
        path = text.removeprefix("using ").removeprefix("namespace ").rstrip("; \n")
        module, _, name = path.rpartition("::")
        whole = "namespace " in text or not module
        yield (path, "*", "") if whole else (module, name, name)


def _csharp(text: str) -> Iterator[Name]:
    text = re.sub(r"^(?:global\s+)?using\s+(?:static\s+)?", "", text.strip()).rstrip("; ")
    alias, _, path = text.rpartition("=")
    module, _, name = path.strip().rpartition(".")
    yield (module or name, name if module else "", alias.strip()) if alias else (path.strip(), "*", "")


def _php(text: str) -> Iterator[Name]:
    text = re.sub(r"^use\s+(?:function\s+|const\s+)?", "", " ".join(text.split())).rstrip("; ")
    braces = re.fullmatch(r"(.*?)\\?\{(.*)\}", text)
    for item in (braces[2] if braces else text).split(","):
        path, _, alias = item.strip().partition(" as ")
        path = f"{braces[1]}\\{path}" if braces else path
        module, _, name = path.strip("\\").rpartition("\\")
        if name:
            yield module or name, name if module else "", alias or name


def _swift(text: str) -> Iterator[Name]:
    yield text.split()[-1], "*", ""


def _quoted(text: str) -> Iterator[Name]:
    """``require "set"`` and the like: all of a file."""
    found = _QUOTED.search(text)
    if found:
        yield found[1], "*", ""


def _lua(text: str) -> Iterator[Name]:
    module, alias = _QUOTED.search(text), re.match(r"\s*(?:local\s+)?(\w+)\s*=", text)
    if module:
        yield module[1], "" if alias else "*", alias[1] if alias else ""


def _r(text: str) -> Iterator[Name]:
    found = re.search(r"\(\s*[\"']?([\w./-]+)", text)
    if found:
        yield found[1], "*", ""


def _bash(text: str) -> Iterator[Name]:
    yield text.split(maxsplit=1)[1].strip("\"'"), "*", ""


_STYLES: dict[str, Callable[[str], Iterator[Name]]] = {
    "python": _python,
    "javascript": _javascript,
    "java": _java,
    "scala": _scala,
    "go": _go,
    "rust": _rust,
    "c": _c,
    "csharp": _csharp,
    "php": _php,
    "swift": _swift,
    "ruby": _quoted,
    "css": _quoted,
    "lua": _lua,
    "r": _r,
    "bash": _bash,
}
