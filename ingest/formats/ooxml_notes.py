"""Comments and text boxes of the sheets of an XLSX file, which calamine leaves out."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any

from ingest.formats.plain import clean

# A larger part, in bytes, is drawings, not words.
_MAX_PART = 16 * 2**20


def sheet_notes(data: bytes) -> dict[str, list[str]]:
    """By sheet: ``Comment on B2: ...`` and ``Text box: ...``. Empty for other ZIP formats (ODS, XLSB)."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        book = _xml(archive, "xl/workbook.xml")
        if book is None:
            return {}
        targets = _relations(archive, "xl/workbook.xml")
        people = _people(archive)
        found = {}
        for sheet in _all(book, "sheet"):
            part = targets.get(
                next((value for key, value in sheet.attrib.items() if key.endswith("}id")), ""), ""
            )
            lines = [
                line
                for target in _relations(archive, part).values()
                for line in _notes(archive, target, people)
            ]
            if lines:
                found[sheet.get("name", "")] = list(dict.fromkeys(lines))
        return found


def _notes(archive: zipfile.ZipFile, part: str, people: dict[str, str]) -> Iterator[str]:
    root = _xml(archive, part) if "omment" in part or "drawings/drawing" in part else None
    if root is None:
        return
    if "threadedComment" in part:
        for comment in _all(root, "threadedComment"):
            by = people.get(comment.get("personId", ""), "")
            yield _comment(comment.get("ref", ""), by, _words(comment, "text"))
    elif "omments" in part:
        authors = ["".join(each.itertext()) for each in _all(root, "author")]
        for comment in _all(root, "comment"):
            text = _words(comment, "t")
            number = comment.get("authorId", "")
            by = authors[int(number)] if number.isdecimal() and int(number) < len(authors) else ""
            # The shadow of a threaded comment, for old programs.
            if not by.startswith("tc="):
                yield _comment(comment.get("ref", ""), by, text)
    else:
        for shape in _all(root, "txBody"):
            if text := _words(shape, "t", joint=" "):
                yield f"Text box: {text}"


def _comment(cell: str, author: str, text: str) -> str:
    # Excel writes the author above the text, too.
    text = text.removeprefix(f"{author}:").strip() if author else text
    return f"Comment on {cell}{' by ' if author else ''}{author}: {text}"


def _people(archive: zipfile.ZipFile) -> dict[str, str]:
    root = _xml(archive, "xl/persons/person.xml")
    return {} if root is None else {p.get("id", ""): p.get("displayName", "") for p in _all(root, "person")}


def _relations(archive: zipfile.ZipFile, part: str) -> dict[str, str]:
    """Relation id -> part's name, of those within the file."""
    folder, _, base = part.rpartition("/")
    root = _xml(archive, f"{folder}/_rels/{base}.rels")
    if root is None:
        return {}
    return {
        each.get("Id", ""): posixpath.normpath(posixpath.join("/" + folder, each.get("Target", ""))).lstrip(
            "/"
        )
        for each in _all(root, "Relationship")
        if each.get("TargetMode") != "External"
    }


def _xml(archive: zipfile.ZipFile, part: str) -> Any:
    """The part's root; None where there is none, or none that can be read."""
    import lxml.etree  # type: ignore[import-untyped]

    try:
        if archive.getinfo(part).file_size > _MAX_PART:
            return None
        return lxml.etree.fromstring(
            archive.read(part), lxml.etree.XMLParser(resolve_entities=False, no_network=True)
        )
    except (KeyError, lxml.etree.XMLSyntaxError, zipfile.BadZipFile, ValueError):
        return None


def _all(root: Any, name: str) -> Iterator[Any]:
    yield from root.iter(f"{{*}}{name}")


def _words(root: Any, name: str, joint: str = "") -> str:
    return clean(joint.join("".join(each.itertext()) for each in _all(root, name)), " ")
