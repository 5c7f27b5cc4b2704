"""A file of code: its own characters, regions that follow its definitions, and its outline."""

from __future__ import annotations

from ingest.code.grammar import matches
from ingest.code.languages import Language, language_of
from ingest.code.marks import Marks
from ingest.code.modules import module_of, title_of
from ingest.code.outlining import Outlining
from ingest.code.regions import regions
from ingest.code.tags import tags_of
from ingest.formats.plain import decode
from ingest.parsed import Parsed, Region
from rag.code.outline import Outline

# Characters. What is longer, or has lines as long, is data or made by a program.
_MOST, _LONGEST_LINE = 2_000_000, 100_000


def parse_code(data: bytes, name: str) -> Parsed:
    """Where its language is not known, or it is too long to be written by hand, the text alone."""
    text = decode(data, name)
    language = language_of(name, text)
    return parsed_as(language, text, name, title_of(name, language))


def parsed_as(language: Language | None, text: str, name: str, title: str) -> Parsed:
    """``text`` has ``\\n`` line ends only."""
    if not text.strip() or language is None or not _is_parsable(text):
        return Parsed(text, title, (Region(0),) if text else ())
    outlined = outline_of(text, name, language)
    if outlined is None:
        return Parsed(text, title, (Region(0),))
    outline, found = outlined
    return Parsed(text, title, found, outline=outline)


def outline_of(text: str, name: str, language: Language) -> tuple[Outline, tuple[Region, ...]] | None:
    """None where nothing of it is code."""
    data = text.encode("utf-8", "surrogatepass")
    parsed = matches(data, language)
    if parsed is None:
        return None
    _tree, found = parsed
    marks = Marks(text, data)
    outlined = Outlining(tags_of(found), marks, language).done()
    outline = Outline(
        language.name, module_of(name, language), outlined.definitions, outlined.uses, outlined.imports
    )
    return outline, regions(outlined.sections, marks)


def _is_parsable(text: str) -> bool:
    return len(text) <= _MOST and max(map(len, text.split("\n"))) <= _LONGEST_LINE
