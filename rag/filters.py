"""Which documents and headings a Filter admits. Pure."""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from rag.errors import BadRequest
from rag.question import Filter
from rag.text import is_unicode
from rag.types import Document, Passage

MOST, LONGEST = 100, 1000  # conditions, and characters of each: every document is compared with all of them


def check(among: Filter) -> None:
    """Raises BadRequest for what is no text or no day, or more than is compared."""
    texts = (*among.paths, *among.types, *among.headings, *among.fields, *among.fields.values())
    if len(texts) > MOST:
        raise BadRequest(
            f"The filter has {len(texts):,} conditions.", f"Give at most {MOST}; a glob admits many."
        )
    if (longest := max(map(len, texts), default=0)) > LONGEST:
        raise BadRequest(
            f"A condition of the filter has {longest:,} characters.", f"Give at most {LONGEST:,}."
        )
    if not all(map(is_unicode, texts)):
        raise BadRequest("The filter holds half a character (a lone surrogate).", "Send valid UTF-8.")
    for day in (among.since, among.until):
        if day and not _is_day(day):
            raise BadRequest(f"{day!r} is not a day.", "Write it as 2026-01-31.")


def _is_day(text: str) -> bool:
    """In the one form that sorts as days do: Python reads others too, such as 20260131."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def admits(among: Filter, document: Document) -> bool:
    """Whether all that is said about documents holds of this one."""
    path = unquote(urlsplit(document.source).path)
    day = document.modified_at[:10]
    return (
        (not among.paths or any(_path_matches(glob, path) for glob in among.paths))
        and (not among.types or any(_is_of(kind, path, document.media_type) for kind in among.types))
        and (not among.since or day >= among.since)
        and (not among.until or ("" < day <= among.until))
        and all(_holds(document, name, value) for name, value in among.fields.items())
    )


def admits_passage(among: Filter, passage: Passage) -> bool:
    """Whether it stands under one of the headings, where some are named."""
    return not among.headings or any(names(among, heading) for heading in passage.section)


def names(among: Filter, heading: str) -> bool:
    """Whether one of the heading globs matches."""
    return any(_matches(glob, heading) for glob in among.headings)


def _path_matches(glob: str, path: str) -> bool:
    if _matches(glob, path) or _matches(f"*/{glob}", path):
        return True
    return path.casefold().endswith(f"/{glob}".casefold())  # a name with brackets in it


def _matches(glob: str, text: str) -> bool:
    glob, text = glob.casefold(), text.casefold()
    return text == glob or fnmatchcase(text, glob)


def _is_of(kind: str, path: str, media_type: str) -> bool:
    if "/" in kind:
        return fnmatchcase(media_type.casefold(), kind.casefold())
    return path.casefold().endswith("." + kind.casefold().removeprefix("."))


def _holds(document: Document, name: str, value: str) -> bool:
    held = [values for field, values in document.fields.items() if field.casefold() == name.casefold()]
    values = [each for those in held for each in ([those] if isinstance(those, str) else those)]
    return value.casefold() in (each.casefold() for each in values)
