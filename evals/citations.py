"""Whether an answer's citations hold: each quotation is read again in its source, by the parser that read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ingest.media_types import SNIFF, by_name, sniffed
from ingest.parse import parse
from ingest.parsed import Parsed
from ingest.repository.git import containing
from ingest.sources import media_type_of
from rag.errors import RagError
from rag.types import Answer, Citation, Place


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problem`` is empty where the citation holds."""

    number: int
    source: str
    quote: str
    problem: str


def verify(answer: Answer) -> Iterator[Verdict]:
    """A verdict for each citation. Sources are files that this machine can read."""
    read: dict[tuple[str, str], Parsed] = {}
    for citation in answer.citations:
        source = citation.source, citation.commit
        try:
            if source not in read:
                read[source] = _read(*source)
            problem = _problem(citation, read[source])
        except (OSError, RagError) as error:
            problem = f"the source cannot be read again: {error}"
        yield Verdict(citation.number, citation.source, citation.quote, problem)


def _read(source: str, commit: str) -> Parsed:
    """At its commit, where it has one that is still there."""
    path = Path(unquote(urlsplit(source).path))
    data = _committed(path, commit) if commit else None
    if data is None:
        return parse(path.read_bytes(), path.name, media_type_of(path))
    return parse(data, path.name, by_name(path.name) or sniffed(data[:SNIFF]))


def _committed(path: Path, commit: str) -> bytes | None:
    folder = next(parent for parent in path.parents if parent.is_dir())
    git = containing(folder)
    return git.file(commit, path.relative_to(git.root).as_posix()) if git else None


def _problem(citation: Citation, parsed: Parsed) -> str:
    span = citation.span
    found = parsed.text[span.start : span.end]
    if found != citation.quote:
        elsewhere = (
            "it stands elsewhere in the source"
            if citation.quote in parsed.text
            else "it is not in the source"
        )
        return f"the source has {found[:60]!r} at {span.start}-{span.end}; {elsewhere}"
    place = _place(parsed, span.start, span.end)
    return "" if place == citation.place else f"it is at {place}, not at {citation.place}"


def _place(parsed: Parsed, start: int, end: int) -> Place:
    region = next(region for region in reversed(parsed.regions) if region.start <= start)
    first = 1 + parsed.text.count("\n", 0, start)
    last = first + parsed.text.count("\n", start, max(start, end - 1))
    return Place(first, last, region.page, region.sheet)
