"""Headers and footers of a DOCX file, which pandoc leaves out."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from ingest.formats.plain import clean

_PART = re.compile(r"word/(header|footer)\d*\.xml")
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
# A page's number or the like; it says nothing.
_BARE = re.compile(r"[\W\d_]*")
# A part larger than this, in bytes, is no header.
_MAX_PART = 4 * 2**20


def margins(data: bytes) -> list[str]:
    """Each different one once, ``Page header: ...``, a paragraph of it a line. Damaged parts are left out."""
    found: dict[str, None] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            part = _PART.fullmatch(entry.filename)
            if part and entry.file_size <= _MAX_PART:
                text = _text(archive, entry)
                if text and not _BARE.fullmatch(text):
                    found.setdefault(f"Page {part.group(1)}: {text}")
    return list(found)


def _text(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    import lxml.etree  # type: ignore[import-untyped]

    parser = lxml.etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = lxml.etree.fromstring(archive.read(entry), parser)
    except (lxml.etree.XMLSyntaxError, zipfile.BadZipFile, ValueError):
        return ""
    lines = (_line(paragraph) for space in (_W, _STRICT) for paragraph in root.iter(f"{space}p"))
    # Text boxes are written twice, for old and for new programs.
    return "\n".join(dict.fromkeys(line for line in lines if line))


def _line(paragraph: Any) -> str:
    words = []
    for each in paragraph.iter():
        kind = str(each.tag).rpartition("}")[2]
        if kind == "t":
            words.append(each.text or "")
        elif kind in ("tab", "br"):
            words.append(" ")
    return clean("".join(words), " ")
