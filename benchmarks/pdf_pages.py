"""How well and how fast PDF files are read, on FinanceBench's: .venv/bin/python -P benchmarks/pdf_pages.py FOLDER

-P, because a script beside this one is called as the package `ingest`.

FOLDER holds `pdfs/` and a .jsonl of questions with their evidence (`evidence_page_num` counts from zero).

- pages/s: of the whole parser without recognition in images, one thread, processor time (other work on the
  machine distorts wall time more)
- evidence: found where >= 90 % of its words and numbers stand on the page that it names. A number counts as often
  as it occurs. A word may be part of a longer run of letters: some of the evidence has lost its blanks.
  `first` counts the evidence for which no other page of the file holds more of it.
- tables: of the numbers in evidence that is a table, how many stand in a row of a Markdown table together with
  the label that the evidence has for them
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ingest.pdf.document
from ingest.formats.ocr import recognize
from ingest.parsed import Parsed

FOUND = 0.9
WORD = re.compile(r"[^\W\d_]+|\d[\d,.]*\d|\d")
LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class Evidence:
    document: str
    page: int  # counts from 1
    text: str


class Timed:
    """A function and the processor time spent in it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> Any:
        begun = time.process_time()
        try:
            return self._function(*arguments)
        finally:
            self.seconds += time.process_time() - begun


def main(folder: Path) -> int:
    wanted = list(read_evidence(folder))
    pages: dict[str, list[str]] = {}
    seconds = 0.0
    ocr = Timed(recognize)
    setattr(ingest.pdf.document, "recognize", ocr)  # noqa: B010 - a measurement, not an interface
    for path in sorted((folder / "pdfs").glob("*.pdf")):
        data = path.read_bytes()
        ocr.seconds = 0.0
        begun = time.process_time()
        parsed = ingest.pdf.document.parse_pdf(data, path.name)
        took = time.process_time() - begun - ocr.seconds
        seconds += took
        pages[path.stem] = pages_of(parsed)
        rate = len(pages[path.stem]) / took
        say(
            f"{path.name:48} {parsed.pages:4} pages {rate:5.0f}/s {parsed.ocr_pages} by OCR, {parsed.empty_pages} empty"
        )
    count = sum(map(len, pages.values()))
    say(f"\n{len(pages)} files, {count} pages, {count / seconds:.0f} pages/s\n")
    found = report_evidence(wanted, pages)
    report_tables(wanted, pages)
    return 0 if found >= 0.95 else 1


def read_evidence(folder: Path) -> Iterator[Evidence]:
    """Each once: some questions share theirs."""
    seen = set()
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for each in json.loads(line)["evidence"]:
                one = Evidence(each["doc_name"], each["evidence_page_num"] + 1, each["evidence_text"])
                if one not in seen:
                    seen.add(one)
                    yield one


def pages_of(parsed: Parsed) -> list[str]:
    """The text of each page, blank ones included."""
    pages = [""] * (parsed.pages or 0)
    ends = [region.start for region in parsed.regions[1:]] + [len(parsed.text)]
    for region, end in zip(parsed.regions, ends, strict=True):
        pages[(region.page or 1) - 1] += parsed.text[region.start : end]
    return pages


def report_evidence(wanted: list[Evidence], pages: dict[str, list[str]]) -> float:
    found = first = 0
    for each in wanted:
        shares = [share(each.text, page) for page in pages[each.document]]
        here = shares[each.page - 1]
        found += here >= FOUND
        first += here == max(shares)
        if here < FOUND:
            best = shares.index(max(shares)) + 1
            say(f"miss: {each.document} p. {each.page}: {here:.2f}; best p. {best}: {max(shares):.2f}")
            say(f"      not there: {' '.join(missing(each.text, pages[each.document][each.page - 1])[:12])}")
    rate = found / len(wanted)
    say(f"evidence found on its page: {found} of {len(wanted)} ({rate:.1%}), first there: {first}\n")
    return rate


def share(evidence: str, page: str) -> float:
    words = WORD.findall(evidence.casefold())
    return 1 - len(missing(evidence, page)) / len(words)


def missing(evidence: str, page: str) -> list[str]:
    page = page.casefold()
    there = Counter(WORD.findall(page))
    run = squeezed(page)
    lost = []
    for word in WORD.findall(evidence.casefold()):
        if there[word]:
            there[word] -= 1
        elif word.isalpha() and (word in there or (len(word) > 5 and word in run)):
            continue
        else:
            lost.append(word)
    return lost


def squeezed(text: str) -> str:
    return "".join(character for character in text if character.isalnum())


def report_tables(wanted: list[Evidence], pages: dict[str, list[str]]) -> None:
    total = kept = tables = 0
    for each in wanted:
        pairs = list(labelled(each.text))
        if len(pairs) < 10:
            continue
        table_rows = [row for row in pages[each.document][each.page - 1].splitlines() if row.startswith("|")]
        rows = [(squeezed(row.casefold()), Counter(WORD.findall(row))) for row in table_rows]
        lost = [pair for pair in pairs if not take(pair, rows)]
        tables, total, kept = tables + 1, total + len(pairs), kept + len(pairs) - len(lost)
        if lost:
            say(
                f"table: {each.document} p. {each.page}: {len(lost)} of {len(pairs)} not in their row: {lost[:4]}"
            )
    say(
        f"numbers of {tables} tables in a row with their label: {kept} of {total} ({kept / max(1, total):.1%})"
    )


def labelled(text: str) -> Iterator[tuple[str, str]]:
    """Each number that stands by itself on a line, with the last line above it that holds letters."""
    label = ""
    for line in text.splitlines():
        if LETTER.search(line):
            label = squeezed(line.casefold())
        elif label:
            yield from ((label, number) for number in WORD.findall(line))


def take(pair: tuple[str, str], rows: list[tuple[str, Counter[str]]]) -> bool:
    label, number = pair
    for text, numbers in rows:
        if label in text and numbers[number]:
            numbers[number] -= 1
            return True
    return False


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1], "pdfs").is_dir():
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
