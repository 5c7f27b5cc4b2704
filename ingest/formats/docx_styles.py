"""Names of a DOCX file's paragraph styles as pandoc understands them.

pandoc makes metadata of the first paragraphs styled as title, subtitle, author or date, and then drops what its
template has no place for; and it knows headings by the names of Word's own styles, not by their outline level,
which is how templates in other languages and LibreOffice say that a paragraph is one.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

_STYLES = "word/styles.xml"
_METADATA = {"subtitle", "author", "date", "abstract", "abstract title"}
_TITLES = {"title", "heading"}  # LibreOffice writes a title as "Heading"
_HEADING = re.compile(r"heading [1-9]", re.IGNORECASE)


def with_known_styles(data: bytes) -> bytes:
    """A copy of the file with other style names; the file itself where there is nothing to rename, or no styles.

    Raises what zipfile and lxml raise for a damaged file.
    """
    import lxml.etree  # type: ignore[import-untyped]

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if _STYLES not in archive.namelist():
            return data
        root = lxml.etree.fromstring(
            archive.read(_STYLES), lxml.etree.XMLParser(resolve_entities=False, no_network=True)
        )
        renamed = [style for style in root.iter("{*}style") if _rename(style)]
        if not renamed:
            return data
        return _with_part(archive, _STYLES, lxml.etree.tostring(root))


def _rename(style: Any) -> bool:
    space = style.tag.rpartition("}")[0] + "}"
    name = style.find(f"{space}name")
    if name is None or style.get(f"{space}type") != "paragraph":
        return False
    known = name.get(f"{space}val", "").lower()
    level = style.find(f"{space}pPr/{space}outlineLvl")
    depth = level.get(f"{space}val", "") if level is not None else ""
    if known in _TITLES:
        new = "heading 1"
    elif known in _METADATA:
        new = f"{known} of the text"
        for base in style.findall(f"{space}basedOn"):  # a subtitle that is made from the title is none
            style.remove(base)
    elif depth in set("012345678") and not _HEADING.fullmatch(known):
        new = f"heading {int(depth) + 1}"
    else:
        return False
    name.set(f"{space}val", new)
    return True


def _with_part(archive: zipfile.ZipFile, part: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as copy:
        for entry in archive.infolist():
            if entry.filename.startswith("word/media/"):
                copy.writestr(entry.filename, b"")  # pandoc writes their descriptions only
            else:
                copy.writestr(entry.filename, content if entry.filename == part else archive.read(entry))
    return out.getvalue()
