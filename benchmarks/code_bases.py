"""Reads every file of code of whole code bases as ingestion does, and checks what came of it.

    python benchmarks/code_bases.py FOLDER...

The tiles of a file join to its text, lines are the file's, and Python's definitions are those of its own ``ast``. With
--jedi N that many calls of Python are looked up by jedi, too (which is not installed with openbook), to see whether it
finds the same definitions.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.code.grammar import matches
from ingest.code.languages import language_of
from ingest.code.marks import Marks
from ingest.code.outlining import Outlining
from ingest.code.regions import regions
from ingest.code.tags import tags_of
from ingest.formats.plain import decode
from ingest.media_types import UNKNOWN
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.passages import max_characters_for, tile
from ingest.sources import Source, find
from ingest.workers import Read, Workers
from rag.code.codebase import Codebase, Reference
from rag.code.outline import Outline
from rag.errors import SourceError
from rag.types import Document

_WINDOW = 256  # tokens that the usual embedder sees
_SHOWN = 10  # differences

Named = tuple[tuple[str, ...], str, int]  # path, kind, line


@dataclass
class Tally:
    files: int = 0
    lines: int = 0
    tiles: int = 0
    definitions: int = 0
    uses: int = 0
    imports: int = 0
    worker_s: float = 0.0
    elapsed_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)
    languages: Counter[str] = field(default_factory=Counter)
    expected: int = 0  # definitions of Python's ast
    equal: int = 0
    differences: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stages", action="store_true", help="also what each stage takes, in one process")
    parser.add_argument("--jedi", type=int, default=0, metavar="N", help="references to look up with jedi")
    arguments = parser.parse_args()
    workers = Workers(arguments.workers)
    try:
        for folder in arguments.folders:
            sources = [each for each in find([folder]).sources if _is_code(each)]
            _print(folder, _read(sources, workers))
            if arguments.stages:
                _print_stages(sources)
            if arguments.jedi:
                _print_references(folder, sources, arguments.jedi)
    finally:
        workers.close()


def _read(sources: list[Source], workers: Workers) -> Tally:
    tally = Tally()
    began = time.perf_counter()
    size = max_characters_for(_WINDOW)
    reading: list[tuple[Source, Future[Read]]] = [
        (each, workers.read(each.path, each.name, each.media_type, size)) for each in sources
    ]
    for source, future in reading:
        try:
            read = future.result()
        except SourceError as error:
            tally.wrong.append(f"{source.name}: {error}")
        else:
            tally.elapsed_s = time.perf_counter() - began
            _check(tally, source, read)
    return tally


def _is_code(source: Source) -> bool:
    if source.media_type == UNKNOWN or not source.media_type.startswith("text/"):
        return False
    try:
        text = decode(source.path.read_bytes(), source.name)
    except SourceError:
        return False
    return bool(text.strip()) and language_of(source.name, text) is not None


def _check(tally: Tally, source: Source, read: Read) -> None:
    data = source.path.read_bytes()
    text, outline = decode(data, source.name), read.parsed.outline
    tally.files += 1
    tally.lines += text.count("\n") + 1
    tally.tiles += len(read.tiles)
    tally.worker_s += read.seconds
    if "".join(read.parsed.text[tile.start : tile.end] for tile in read.tiles) != text:
        tally.wrong.append(f"{source.name}: its passages do not join to it")
    if outline is None:
        tally.plain.append(source.name)
        return
    tally.languages[outline.language] += 1
    tally.definitions += len(outline.definitions)
    tally.uses += len(outline.uses)
    tally.imports += len(outline.imports)
    lines = text.split("\n")
    for each in outline.definitions:
        if (
            not _stands(each.name, lines[each.line - 1])
            or text.count("\n", 0, each.end - 1) + 1 != each.line_end
        ):
            tally.wrong.append(f"{source.name}:{each.line}: {'.'.join(each.path)} is not there")
    if outline.language == "python":
        _compare(tally, source.name, data, outline)


def _stands(name: str, line: str) -> bool:
    return name.split()[0] in line


def _compare(tally: Tally, name: str, data: bytes, outline: Outline) -> None:
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return
    expected = Counter(_of_ast(tree))
    found: Counter[Named] = Counter(
        (each.path, each.kind, each.line) for each in outline.definitions if each.kind in _KINDS
    )
    tally.expected += expected.total()
    tally.equal += (expected & found).total()
    for sign, difference in (("-", expected - found), ("+", found - expected)):
        tally.differences += [
            f"{sign} {name}:{line}: {kind} {'.'.join(path)}" for path, kind, line in difference
        ]


_KINDS = {"class", "function", "method"}


def _of_ast(tree: ast.Module) -> Iterator[Named]:
    waiting: list[tuple[ast.AST, tuple[str, ...], bool]] = [(tree, (), False)]
    while waiting:
        node, path, in_class = waiting.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield (*path, child.name), "class", child.lineno
                waiting.append((child, (*path, child.name), True))
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield (*path, child.name), "method" if in_class else "function", child.lineno
                waiting.append((child, (*path, child.name), False))
            else:
                waiting.append((child, path, in_class))


def _print(folder: Path, tally: Tally) -> None:
    print(
        f"{folder.name}: {tally.files:,} files of code, {tally.lines:,} lines, {dict(tally.languages.most_common())}"
    )
    per_second = tally.files / max(tally.elapsed_s, 1e-9)
    print(f"  {tally.elapsed_s:.1f} s ({per_second:,.0f} files/s), {tally.worker_s:.1f} s of work")
    print(
        f"  {tally.tiles:,} passages, {tally.definitions:,} definitions, {tally.uses:,} uses, "
        f"{tally.imports:,} imports; without outline: {len(tally.plain)}"
    )
    if tally.expected:
        share = tally.equal / tally.expected
        print(f"  of {tally.expected:,} definitions of ast {share:.2%} are equal")
        print(*(f"    {line}\n" for line in tally.differences[:_SHOWN]), sep="", end="")
    print(f"  wrong: {len(tally.wrong)}", *(f"    {line}" for line in tally.wrong[:_SHOWN]), sep="\n")


def _print_stages(sources: list[Source]) -> None:
    """Seconds of this process, which others on the machine do not lengthen."""
    spent: Counter[str] = Counter()
    clock = time.process_time()

    def lap(stage: str) -> None:
        nonlocal clock
        now = time.process_time()
        spent[stage] += now - clock  # type: ignore[assignment] # seconds are no whole numbers
        clock = now

    for source in sources:
        text = decode(source.path.read_bytes(), source.name)
        language = language_of(source.name, text)
        assert language is not None
        lap("read")
        data = text.encode()
        matched = matches(data, language)
        lap("parse and query")
        if matched is None:
            continue
        _tree, found = matched
        tags, marks = tags_of(found), Marks(text, data)
        lap("tags")
        outlined = Outlining(tags, marks, language).done()
        lap("outline")
        parsed = Parsed(text, source.name, regions(outlined.sections, marks))
        lap("regions")
        list(tile(parsed, max_characters_for(_WINDOW)))
        lap("tiles")
    print("  CPU seconds in one process:", ", ".join(f"{stage} {s:.2f}" for stage, s in spent.items()))


def _print_references(folder: Path, sources: list[Source], count: int) -> None:
    """Calls that openbook takes to a definition, by how sure it is: does jedi go to the same one?"""
    import jedi

    project = jedi.Project(folder.resolve())
    judged: dict[str, Counter[str]] = defaultdict(Counter)
    for reference in _sample(_codebase(sources), count):
        path = Path(unquote(urlsplit(reference.document.source).path))
        lines = decode(path.read_bytes(), path.name).split("\n")
        before = f"{reference.use.qualifier}." if reference.use.qualifier else ""
        spelled = rf"(?<![\w.]){re.escape(before)}({re.escape(reference.use.name)})\b"
        called = re.search(spelled, lines[reference.use.line - 1])
        script = jedi.Script("\n".join(lines), path=path, project=project)
        places = script.goto(reference.use.line, called.start(1) if called else 0, follow_imports=True)
        target = unquote(urlsplit(reference.symbol.document.source).path), reference.symbol.definition.line
        same = any((str(place.module_path), place.line) == target for place in places)
        judged[reference.sure]["same" if same else "another" if places else "unknown to jedi"] += 1
    for sure, outcomes in judged.items():
        print(f"  references that are {sure}: {dict(outcomes)}")


def _codebase(sources: list[Source]) -> Codebase:
    outlines, documents = {}, []
    for source in sources:
        parsed = parse(source.path.read_bytes(), source.name, source.media_type)
        if parsed.outline and parsed.outline.language == "python":
            outlines[source.uri] = parsed.outline
            documents.append(
                Document(
                    source.uri,
                    "",
                    source.uri,
                    parsed.title,
                    source.media_type,
                    "",
                    "",
                    0,
                    0,
                    0,
                    code="python",
                )
            )
    return Codebase(documents, outlines)


def _sample(codebase: Codebase, count: int) -> list[Reference]:
    """Of those that are told to be of one definition."""
    found = [each for symbol in codebase.symbols for each in codebase.references(symbol, ("call",))]
    found = [each for each in found if each.sure != "possible"]
    return random.Random(0).sample(found, min(count, len(found)))


if __name__ == "__main__":
    main()
