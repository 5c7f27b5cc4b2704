"""From tags to an outline: names, signatures and documentation as text, places as characters and lines."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tree_sitter import Node

from ingest.code.docs import first_sentence
from ingest.code.imports import names as imported
from ingest.code.languages import Language
from ingest.code.marks import Marks
from ingest.code.public import exported, is_public
from ingest.code.tags import HOLDERS, Tag, Tags, UseTag
from rag.code.outline import DOC, SIGNATURE, Definition, Import, Use

_BRACKETS = re.compile(r"([(\[]) |,? ([)\]])")
_ANNOTATIONS = re.compile(r"^(?:@[\w.]+(?:\([^()]*\))?\s+|\[[^\[\]]*\]\s+)+")
_OPENING = re.compile(r"\s*(?:=>|[:={;])*\s*$")
_COMMENTS = re.compile(r"#[^\n]*\n|//[^\n]*\n|/\*.*?\*/", re.DOTALL)
_LONGEST = 200  # characters of a name; a longer one is a CSS selector or a mistake
_PARTED = {
    "qualified_identifier", "dot_index_expression", "method_index_expression", "scope_resolution",
    "nested_identifier", "qualified_name", "member_expression",
}  # fmt: skip
_PARTS = re.compile(r"::|[.:]")
_ARGUMENTS = re.compile(r"<[^<>]*>")
_NO_OWNERS = {"module", "exports", "prototype", "this"}
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]+")
_PLAIN = re.compile(r"[\w$@:.>-]+")
_CALLED = re.compile(r"([\w$.]+)\(")
_OWN = {"self", "this", "cls", "super", "Self", "$this", "static"}


@dataclass(frozen=True, slots=True)
class Section:
    """A definition, or a scope that is none (``definition`` is None), with characters ``[start, end)``."""

    path: tuple[str, ...]
    kind: str
    start: int
    end: int
    parent: int
    about: str
    doc: str


@dataclass(frozen=True, slots=True)
class Outlined:
    definitions: tuple[Definition, ...]
    sections: tuple[Section, ...]
    uses: tuple[Use, ...]
    imports: tuple[Import, ...]


class Outlining:
    """Of one file."""

    def __init__(self, tags: Tags, marks: Marks, language: Language) -> None:
        self._tags, self._marks, self._language = tags, marks, language
        self._above = self._comments()
        self._exported = exported(marks.text) if language.public == "export" else frozenset()

    def done(self) -> Outlined:
        definitions, sections = self._defined()
        imports = tuple(self._imports())
        return Outlined(definitions, sections, tuple(self._uses(definitions, imports)), imports)

    def _defined(self) -> tuple[tuple[Definition, ...], tuple[Section, ...]]:
        definitions: list[Definition] = []
        sections: list[Section] = []
        docs = self._docstrings()
        places: dict[int, int] = {}  # of sections, by the id of their tag
        ends: dict[int, int] = {}  # of the last definition in each section
        for at, tag in enumerate(self._tags.definitions):
            parent = places[id(tag.parent)] if tag.parent else -1
            path = (*(sections[parent].path if tag.parent else ()), *_names(tag))
            start, comment = self._start(tag, ends.get(parent, 0))
            end = self._marks.character(tag.end)
            ends[parent] = max(end, ends.get(parent, 0))
            signature = self._signature(tag)
            doc = first_sentence(docs.get(at) or comment, DOC)
            kind = _kind(tag, path)
            places[id(tag)] = len(sections)
            about = f"{signature}: {doc}" if doc else signature
            sections.append(Section(path, kind, start, end, parent, about, doc))
            if kind != "scope":
                line = tag.name.start_point[0] + 1
                last = self._marks.row(max(start, end - 1)) + 1
                public = is_public(self._language.public, tag, path, signature, self._exported)
                definitions.append(
                    Definition(path, kind, start, end, line, last, signature, doc, public)  # type: ignore[arg-type]
                )
        return tuple(definitions), tuple(sections)

    def _comments(self) -> dict[int, tuple[int, int, str]]:
        """By the row that it ends on, each that stands alone on its lines: its start, its first row, its words."""
        found = {}
        for node in self._tags.above:
            start, end = self._marks.character(node.start_byte), self._marks.character(node.end_byte)
            text = self._marks.text[start:end]
            begin = self._marks.line_start(start)
            if begin == 0 or self._marks.text[begin - 1] == "\n":
                # Some grammars count the line break in.
                last = self._marks.row(start + len(text.rstrip("\n")))
                words = text if "comment" in node.type else ""
                found[last] = (begin, self._marks.row(start), words)
        return found

    def _start(self, tag: Tag, least: int) -> tuple[int, str]:
        """Where the comment right above begins, or else itself; and what that says. ``least`` ends what is before."""
        start = self._marks.line_start(self._marks.character(tag.start))
        row = self._marks.row(start)
        words: list[str] = []
        if start and self._marks.text[start - 1] != "\n":
            return start, ""
        while (above := self._above.get(row - 1)) and least <= above[0] and above[1] < row:
            start, row = above[0], above[1]
            words.append(above[2])
        return start, "\n".join(reversed(words))

    def _docstrings(self) -> dict[int, str]:
        """By the index of the definition that each is the first statement of."""
        docs = sorted(self._tags.docs, key=lambda node: node.start_byte)
        at = innermost([node.start_byte for node in docs], self._tags.definitions)
        return {index: _text(node) for node, index in zip(docs, at, strict=True)}

    def _signature(self, tag: Tag) -> str:
        start = self._marks.character(tag.inner.start_byte)
        body = tag.inner.child_by_field_name("body")
        if body is not None and body.start_byte > tag.name.start_byte:
            head = self._marks.text[
                start : min(self._marks.character(body.start_byte), start + 4 * SIGNATURE)
            ]
            head = _COMMENTS.sub("", head)
        else:
            head = _head(self._marks.text[start : min(self._marks.character(tag.end), start + 2 * SIGNATURE)])
        head = _BRACKETS.sub(r"\1\2", " ".join(_ANNOTATIONS.sub("", head).split()))
        return _OPENING.sub("", head)[:SIGNATURE]

    def _imports(self) -> Iterator[Import]:
        for node in self._tags.imports:
            for module, name, alias in imported(_text(node), self._language.imports):
                yield Import(module, name, alias, node.start_point[0] + 1)

    def _uses(self, definitions: tuple[Definition, ...], imports: tuple[Import, ...]) -> Iterator[Use]:
        known = _Known(definitions, imports)
        uses = self._outside_imports()
        within = innermost([use.name.start_byte for use in uses], self._tags.definitions)
        indices, own = self._indices(definitions), self._own()
        seen: set[tuple[str, str, str, int]] = set()
        for use, at in zip(uses, within, strict=True):
            name, qualifier = _text(use.name), _qualifier(use.qualifier)
            if (at, name) in own and use.rank == 0:  # but a fixture, which pytest gives
                continue
            if not known.matters(name, qualifier, use.kind):
                continue
            kind = "use" if use.kind == "type_use" else use.kind
            key = (name, qualifier, kind, indices[at])
            if key not in seen:
                seen.add(key)
                yield Use(name, qualifier, kind, use.name.start_point[0] + 1, indices[at])  # type: ignore[arg-type]

    def _own(self) -> set[tuple[int, str]]:
        """Names that functions, by the index of their tag, give to what is theirs."""
        nodes = sorted(self._tags.bound, key=lambda node: node.start_byte)
        within = innermost([node.start_byte for node in nodes], self._tags.definitions)
        tags = self._tags.definitions
        return {
            (at, _text(node))
            for node, at in zip(nodes, within, strict=True)
            if at >= 0 and tags[at].kind in ("function", "method")
        }

    def _outside_imports(self) -> list[UseTag]:
        spans = sorted((node.start_byte, node.end_byte) for node in self._tags.imports)
        starts = [start for start, _ in spans]
        kept = []
        for use in self._tags.uses:
            at = bisect_right(starts, use.name.start_byte) - 1
            if at < 0 or spans[at][1] <= use.name.start_byte:
                kept.append(use)
        return kept

    def _indices(self, definitions: tuple[Definition, ...]) -> dict[int, int]:
        """Of definitions by those of tags: a scope stands for the type that it is about."""
        first = {each.path: index for index, each in reversed(list(enumerate(definitions)))}
        indices, count = {-1: -1}, 0
        for at, tag in enumerate(self._tags.definitions):
            if tag.kind == "scope":
                indices[at] = first.get(tuple(_names(tag)), -1)
            else:
                indices[at] = count
                count += 1
        return indices


class _Known:
    """Which uses can mean something outside of their own function."""

    def __init__(self, definitions: tuple[Definition, ...], imports: tuple[Import, ...]) -> None:
        self._members = {each.name for each in definitions}
        self._names = {each.name for each in definitions if len(each.path) == 1}
        self._names |= {each.alias.partition(".")[0] for each in imports if each.alias}
        self._all = any(each.name == "*" for each in imports)

    def matters(self, name: str, qualifier: str, kind: str) -> bool:
        if kind != "use":
            return True
        if not qualifier:
            return name in self._names or (self._all and name[:1].isupper())
        root = _PARTS.split(qualifier, maxsplit=1)[0]
        return root in self._names or (root in _OWN and name in self._members)


def innermost(points: Sequence[int], tags: Sequence[Tag]) -> list[int]:
    """The index of the innermost tag around each of these bytes, which rise; -1 where there is none."""
    found, open_, at = [], [], 0
    for point in points:
        while at < len(tags) and tags[at].start <= point:
            open_.append(at)
            at += 1
        while open_ and tags[open_[-1]].end <= point:
            open_.pop()
        found.append(open_[-1] if open_ else -1)
    return found


def _kind(tag: Tag, path: tuple[str, ...]) -> str:
    if tag.kind == "function" and (tag.owner or (tag.parent and tag.parent.kind in HOLDERS)):
        return "method"
    if tag.kind == "function" and tag.name.type in _PARTED and len(path) > 1:
        return "method"
    if tag.kind == "variable" and _CONSTANT.fullmatch(path[-1]):
        return "constant"
    return tag.kind


def _names(tag: Tag) -> list[str]:
    owner = [part for part in _PARTS.split(_text(tag.owner)) if part not in _NO_OWNERS] if tag.owner else []
    text = _text(tag.name)
    if tag.name.type in _PARTED:
        parts = [part for part in _PARTS.split(_ARGUMENTS.sub("", text)) if part]
    else:
        parts = [text.strip("\"'")]
    return owner + ([" ".join(part.split())[:_LONGEST] for part in parts] or ["?"])


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _qualifier(node: Node | None) -> str:
    """As it stands where it is a name; ``super`` and ``Foo()`` for a call; ``?`` for what has no name."""
    if node is None:
        return ""
    text = _text(node)
    if len(text) > _LONGEST:
        return "?"
    if _PLAIN.fullmatch(text):
        return text
    called = _CALLED.match(text)
    if not called or not text.endswith(")") or text.count("(") > 1:
        return "?"
    return "super" if called[1] == "super" else f"{called[1]}()"


def _head(text: str) -> str:
    """What stands before a body, or the first line, with brackets closed."""
    depth = 0
    for at, character in enumerate(text):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif depth <= 0 and character in "{\n;":
            return text[:at]
    return text
