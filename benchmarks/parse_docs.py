"""Reads every file of a folder of test documents, and says what became of each.

    python -P benchmarks/parse_docs.py FOLDER

FOLDER holds docling's test documents (docling/*/sources, MIT) and markitdown's (markitdown/test_files, MIT, with
expected_strings.json: words that must be in a document's text). Archives and mail are unpacked, and the files in
them read. Strings are compared without Markdown's marks, since theirs is Markdown and ours marks less: headings,
emphasis, links' addresses, escapes, table rules and the data of images are no words of a document. What we keep
outside of the text (the title, a sheet's name) counts as read.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ingest.containers.unpack import is_container, is_document, unpack
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.sources import media_type_of
from rag.errors import SourceError

MAX_DEPTH = 3
EXPECTED = "markitdown/expected_strings.json"


@dataclass
class Outcome:
    """Of one file, with the files within it."""

    texts: list[Parsed] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [line for parsed in self.texts for line in parsed.text.split("\n")]

    @property
    def words(self) -> str:
        parts = []
        for parsed in self.texts:
            places = {word for region in parsed.regions for word in (*region.section, region.sheet or "")}
            parts += [parsed.title, *sorted(places), parsed.text]
        return bare("\n".join(parts))


def read(path: Path, name: str, media_type: str, into: Path, depth: int = 0) -> Outcome:
    outcome = Outcome()
    try:
        if is_document(media_type):
            outcome.texts.append(parse(path.read_bytes(), name, media_type))
        if is_container(media_type) and depth < MAX_DEPTH:
            _read_inner(path, name, media_type, into, depth, outcome)
    except SourceError as error:
        outcome.refused.append(f"{name}: {error}")
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        outcome.crashed.append(f"{name}: {type(error).__name__}: {error}")
    return outcome


def _read_inner(path: Path, name: str, media_type: str, into: Path, depth: int, outcome: Outcome) -> None:
    folder = Path(tempfile.mkdtemp(dir=into))
    inner, refused, _ = unpack(path, media_type, folder, name=name)
    outcome.refused += [f"{name}/{each.name}: {each.reason}" for each in refused]
    for each in inner:
        below = read(each.path, f"{name}/{each.name}", each.media_type, into, depth + 1)
        outcome.texts += below.texts
        outcome.refused += below.refused
        outcome.crashed += below.crashed


_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\](?:\([^()\s]*(?:\s\"[^\"]*\")?\)?)?")
_DATA = re.compile(r"data:image/[\w+.-]+;base64\S*")
_MARKS = re.compile(r"[*_`#|>~\\\[\]]+|-{3,}|\]\(\S*")


def bare(text: str) -> str:
    """``text`` without Markdown's marks and with single blanks."""
    text = unicodedata.normalize("NFKC", _DATA.sub(" ", text))
    text = _MARKS.sub(" ", _LINK.sub(r" \1 ", text))
    return " ".join(re.sub(r"\s*,\s*", ", ", text).split())


def recall(folder: Path, outcomes: dict[Path, Outcome]) -> Iterator[tuple[str, str, bool | None]]:
    """(file, string, found) for each string that must be there; None for one without any word."""
    for entry in json.loads((folder / EXPECTED).read_text(encoding="utf-8")):
        outcome = outcomes[folder / "markitdown/test_files" / entry["filename"]]
        words = outcome.words
        squeezed = words.replace(" ", "")
        for wanted in entry["must_include"]:
            short = bare(wanted)
            # "**From:** someone" is a line that names its sender, in whatever manner.
            header = re.fullmatch(r"\*\*(\w+):\*\* (.+)", wanted)
            if header and any(line.startswith(header[1]) and header[2] in line for line in outcome.lines):
                yield entry["filename"], wanted, True
                continue
            # Cells of a row stand between bars there, between commas in a CSV file.
            cells = [bare(cell) for cell in wanted.split("|")] if "|" in wanted else [short]
            letters = [cell.replace(" ", "") for cell in cells if re.search(r"\w", cell)]
            yield entry["filename"], wanted, all(each in squeezed for each in letters) if letters else None


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("folder", type=Path)
    options.add_argument("--slow", type=float, default=2.0, help="name files that take longer, in seconds")
    arguments = options.parse_args()
    outcomes: dict[Path, Outcome] = {}
    table: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(each for each in arguments.folder.rglob("*") if each.is_file()):
            begun = time.perf_counter()
            outcome = outcomes[path] = read(path, path.name, media_type_of(path), Path(scratch))
            took = time.perf_counter() - begun
            kind = path.suffix.lower() or "none"
            state = "crashed" if outcome.crashed else "read" if outcome.texts else "refused"
            table[kind].update(["files", state])
            seconds[kind] += took
            for line in outcome.refused + outcome.crashed:
                print(f"  {state}: {path.parent.name}/{line}")
            if took > arguments.slow:
                print(f"  slow: {path.name}: {took:.1f} s")
    _print(table, seconds)
    return _print_targets(arguments.folder, outcomes)


def _print(table: dict[str, Counter[str]], seconds: dict[str, float]) -> None:
    print(f"{'type':<10}{'files':>7}{'read':>7}{'refused':>9}{'crashed':>9}{'seconds':>9}")
    for kind, counts in sorted(table.items()):
        numbers = "".join(
            f"{counts[key]:>{width}}" for key, width in (("files", 7), ("read", 7), ("refused", 9))
        )
        print(f"{kind:<10}{numbers}{counts['crashed']:>9}{seconds[kind]:>9.1f}")


def _print_targets(folder: Path, outcomes: dict[Path, Outcome]) -> int:
    checks = list(recall(folder, outcomes))
    found = [each for *_, each in checks if each is not None]
    for name, wanted, there in checks:
        if not there:
            print(f"  {'no words' if there is None else 'missed'}: {name}: {wanted}")
    sources = {path: outcome for path, outcome in outcomes.items() if path.parent.name == "sources"}
    silent = [path.name for path, outcome in sources.items() if not outcome.texts]
    crashed = sum(bool(outcome.crashed) for outcome in outcomes.values())
    share = sum(found) / len(found)
    print(f"must-include recall: {sum(found)} of {len(found)} = {share:.3f} (target 0.95)")
    print(
        f"docling sources with text: {len(sources) - len(silent)} of {len(sources)}; without: {silent or 'none'}"
    )
    print(f"crashed: {crashed}")
    return int(crashed > 0 or share < 0.95)


if __name__ == "__main__":
    sys.exit(main())
